# Catch2 3 runs the tests.
find_package(Catch2 3 QUIET CONFIG)
if(NOT Catch2_FOUND)
    mpsvk_fetch(
        Catch2 BUILD
        GIT https://github.com/catchorg/Catch2.git
        COMMIT fa43b77429ba76c462b1898d6cd2f2d7a9416b14 # v3.7.1
        DEBIAN "catch2 (3 or newer)")
endif()
