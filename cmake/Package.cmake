# `cpack -B DIR` in a build directory makes qsweep_VERSION_ARCH.deb; it needs Debian's file and dpkg-dev.
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
foreach(unit qscheduler qworker)
  # At install time, which is when the prefix is known.
  install(CODE "set(CMAKE_INSTALL_FULL_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
    configure_file(\"${CMAKE_SOURCE_DIR}/deploy/systemd/${unit}.service.in\"
      \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/systemd/system/${unit}.service\" @ONLY)")
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/deploy/systemd/qsweep.sysusers DESTINATION lib/sysusers.d RENAME qsweep.conf)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "the qsweep authors <qsweep@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "sweeps of quantized-LoRA Vision Transformer experiments")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # from what the programs link
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "gnuplot-nox, dataset-fashion-mnist")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/deploy/debian/postinst)
include(CPack)
