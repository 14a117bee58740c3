# SPDX-License-Identifier: MIT
# The manual, made from the headers: man/ in the build folder, sections 3 and 7.

string(TIMESTAMP NIGH_MAN_DATE "%Y-%m-%d" UTC) # SOURCE_DATE_EPOCH, where it is set

file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/nigh/*.h)
set(NIGH_MAN_DIR ${PROJECT_BINARY_DIR}/man)
add_custom_command(OUTPUT ${NIGH_MAN_DIR}/man3/nigh.3
    COMMAND sh ${PROJECT_SOURCE_DIR}/cmake/man.sh
        ${PROJECT_SOURCE_DIR} ${NIGH_MAN_DIR} ${PROJECT_VERSION} ${NIGH_MAN_DATE}
    DEPENDS ${headers} ${PROJECT_SOURCE_DIR}/cmake/man.sh ${PROJECT_SOURCE_DIR}/cmake/man.awk
        ${PROJECT_SOURCE_DIR}/cmake/man_counters.awk
        ${PROJECT_SOURCE_DIR}/lib/stats/counters.h ${PROJECT_SOURCE_DIR}/lib/cache/report/gauges.c
    COMMENT "Making the manual from the headers"
    VERBATIM)
# That of the program, from its own table. (A program with a sanitizer may not run in every build.)
set(NIGH_MAN_PAGES ${NIGH_MAN_DIR}/man3/nigh.3)
if(NOT NIGH_SANITIZE)
    list(APPEND NIGH_MAN_PAGES ${NIGH_MAN_DIR}/man1/nigh.1)
    add_custom_command(OUTPUT ${NIGH_MAN_DIR}/man1/nigh.1
        COMMAND ${CMAKE_COMMAND} -E make_directory ${NIGH_MAN_DIR}/man1
        COMMAND nigh_tool --man > ${NIGH_MAN_DIR}/man1/nigh.1
        DEPENDS nigh_tool
        COMMENT "Making the page of the program nigh"
        VERBATIM)
endif()
add_custom_target(nigh_man ALL DEPENDS ${NIGH_MAN_PAGES})
foreach(section 1 3 7)
    install(DIRECTORY ${NIGH_MAN_DIR}/man${section} DESTINATION ${CMAKE_INSTALL_MANDIR} OPTIONAL)
endforeach()
