# SPDX-License-Identifier: MIT
# `cmake --install`: libraries, headers, nigh.pc, nigh-system.pc, the CMake package Nigh, examples.
# Shared and static are separate export sets: only the static ones need our dependencies.

include(CMakePackageConfigHelpers)
set(NIGH_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Nigh)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/nigh TYPE INCLUDE
    FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
foreach(product nigh nigh_static nigh_system nigh_system_static)
    install(TARGETS ${product} EXPORT ${product})
    install(EXPORT ${product} NAMESPACE nigh:: FILE ${product}.cmake
        DESTINATION ${NIGH_CMAKE_DIR})
endforeach()

install(TARGETS nigh_tool)

# Their CMakeLists.txt is for the project's own tests.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/test/example/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples
    PATTERN CMakeLists.txt EXCLUDE)

# For Prometheus and Grafana.
install(FILES ${PROJECT_SOURCE_DIR}/cmake/monitoring/alerts.yml
    ${PROJECT_SOURCE_DIR}/cmake/monitoring/grafana.json DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Relative to the file itself, so that `cmake --install --prefix` may choose the place.
file(RELATIVE_PATH NIGH_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
function(nigh_install_pc NIGH_PC_NAME NIGH_PC_REQUIRES)
    configure_file(cmake/nigh.pc.in ${NIGH_PC_NAME}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${NIGH_PC_NAME}.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
nigh_install_pc(nigh "${NIGH_REQUIRES}")
nigh_install_pc(nigh-system "${NIGH_REQUIRES_SYSTEM}")

configure_package_config_file(cmake/NighConfig.cmake.in NighConfig.cmake
    INSTALL_DESTINATION ${NIGH_CMAKE_DIR})
write_basic_package_version_file(NighConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/NighConfig.cmake ${PROJECT_BINARY_DIR}/NighConfigVersion.cmake
    DESTINATION ${NIGH_CMAKE_DIR})
