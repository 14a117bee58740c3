# SPDX-License-Identifier: MIT
# `cmake --install`: libraries, headers, nigh.pc and the CMake package Nigh.
# Shared and static are separate export sets: only the static one needs our dependencies.

include(CMakePackageConfigHelpers)
set(NIGH_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Nigh)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/nigh TYPE INCLUDE FILES_MATCHING PATTERN "*.h")
foreach(product nigh nigh_static)
    install(TARGETS ${product} EXPORT ${product})
    install(EXPORT ${product} NAMESPACE nigh:: FILE ${product}.cmake
        DESTINATION ${NIGH_CMAKE_DIR})
endforeach()

# Relative to the file itself, so that `cmake --install --prefix` may choose the place.
file(RELATIVE_PATH NIGH_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/nigh.pc.in nigh.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/nigh.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_package_config_file(cmake/NighConfig.cmake.in NighConfig.cmake
    INSTALL_DESTINATION ${NIGH_CMAKE_DIR})
write_basic_package_version_file(NighConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/NighConfig.cmake ${PROJECT_BINARY_DIR}/NighConfigVersion.cmake
    DESTINATION ${NIGH_CMAKE_DIR})
