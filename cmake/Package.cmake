# `cpack -B DIR` in a build directory makes qsweep_VERSION_ARCH.deb.
install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/qscheduler.service ${CMAKE_SOURCE_DIR}/deploy/systemd/qworker.service
        DESTINATION lib/systemd/system)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/qsweep.sysusers DESTINATION lib/sysusers.d RENAME qsweep.conf)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_CONTACT "the qsweep authors <qsweep@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "sweeps of quantized-LoRA Vision Transformer experiments")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # from what the programs link
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/deploy/debian/postinst)
include(CPack)
