# stb_image_write writes the tools' pictures, stb_image reads the examples'.
mpsvk_header_library(
    stb
    HEADER stb_image_write.h
    PATH_SUFFIX stb
    SUBDIRECTORY .
    GIT https://github.com/nothings/stb.git
    COMMIT 31c1ad37456438565541f4919958214b6e762fb4
    DEBIAN libstb-dev)
