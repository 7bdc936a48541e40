// Choices on disk are found again, and by no other device or driver.
#include "vk/ChoiceFile.hpp"

#include "support/Folder.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <fstream>

using namespace mpsvk;
using namespace mpsvk::test;

TEST_CASE("A choice is found again", "[ChoiceFile]") {
    const Folder folder;
    const Environment own("MPSVK_CACHE_DIR", folder.path.string().c_str());
    VkPhysicalDeviceProperties properties{};
    properties.driverVersion = 3;
    {
        vk::ChoiceFile file(properties), other(properties);
        CHECK_FALSE(file.find("a product"));
        file.remember("a product", "1 2 3");
        other.remember("another", "4");
        file.remember("a product", "5");
        CHECK(file.find("a product") == "5");
    }
    vk::ChoiceFile again(properties);
    CHECK(again.find("a product") == "5");
    CHECK(again.find("another") == "4");
    // A new version of a driver may keep its UUID.
    ++properties.driverVersion;
    const Remarks remarks;
    vk::ChoiceFile newer(properties);
    CHECK_FALSE(newer.find("a product"));
    CHECK(remarks.all().size() == 1);
}

TEST_CASE("A damaged file of choices is ignored and rebuilt", "[ChoiceFile]") {
    const Folder folder;
    const Environment own("MPSVK_CACHE_DIR", folder.path.string().c_str());
    const VkPhysicalDeviceProperties properties{};
    vk::ChoiceFile(properties).remember("a product", "1 2 3");
    {
        std::ofstream file(vk::ChoiceFile::path(properties), std::ios::app);
        file << "more";
    }
    const Remarks remarks;
    vk::ChoiceFile file(properties);
    CHECK_FALSE(file.find("a product"));
    REQUIRE(remarks.all().size() == 1);
    CHECK(remarks.all()[0].second.find("list of tiles") != std::string::npos);
    file.remember("a product", "4");
    CHECK(vk::ChoiceFile(properties).find("a product") == "4");
}

TEST_CASE("Without a folder choices last as long as the process", "[ChoiceFile]") {
    const Environment none("MPSVK_CACHE_DIR", "");
    const VkPhysicalDeviceProperties properties{};
    vk::ChoiceFile file(properties);
    file.remember("a product", "1 2 3");
    CHECK(file.find("a product") == "1 2 3");
}
