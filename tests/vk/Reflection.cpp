// What a shader's SPIR-V says of itself.
#include "vk/Reflection.hpp"
#include "vk/Shaders.hpp"

#include "Rig.hpp"
#include "support/Sentence.hpp"

#include <catch2/catch_test_macros.hpp>

#include <random>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

struct Expected {
    uint32_t binding;
    VkDescriptorType type;
    bool reads, writes;
};

void check(const vk::Reflection& reflection, const std::vector<Expected>& expected) {
    REQUIRE(reflection.bindings.size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
        INFO("binding " << expected[i].binding);
        CHECK(reflection.bindings[i].binding == expected[i].binding);
        CHECK(reflection.bindings[i].type == expected[i].type);
        CHECK(reflection.bindings[i].reads == expected[i].reads);
        CHECK(reflection.bindings[i].writes == expected[i].writes);
    }
}

} // namespace

TEST_CASE("Bindings, their kinds and what is done to them", "[Reflection]") {
    constexpr auto storage = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    check(vk::reflect("add", addKernel()),
          {{0, storage, true, false}, {1, storage, true, false}, {2, storage, false, true}});
    check(vk::reflect("affine", affineKernel()),
          {{0, VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, true, false},
           {1, storage, true, false},
           {2, storage, false, true}});
    check(vk::reflect("scale", scaleKernel()), {{0, storage, true, true}});
    check(vk::reflect("texture", textureKernel()),
          {{32, VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, true, false},
           {33, VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, false, true}});
}

TEST_CASE("Threads, constants, shared memory, push constants", "[Reflection]") {
    const auto add = vk::reflect("add", addKernel());
    CHECK(add.entryPoint == "main");
    CHECK(add.localSize == std::array<uint32_t, 3>{64, 1, 1});
    CHECK(add.hasLocalSizeId == std::array<bool, 3>{false, false, false});
    CHECK(add.pushConstantBytes == 12);
    CHECK(add.sharedBytes == 0);
    CHECK(add.constantIds.empty());
    CHECK(vk::reflect("texture", textureKernel()).localSize == std::array<uint32_t, 3>{8, 8, 1});

    const auto scale = vk::reflect("scale", scaleKernel());
    CHECK(scale.localSize == std::array<uint32_t, 3>{1, 1, 1}); // GLSL's own default
    CHECK(scale.hasLocalSizeId == std::array<bool, 3>{true, false, false});
    CHECK(scale.localSizeId[0] == 0);
    CHECK(scale.constantIds == std::vector<uint32_t>{0, 1});
    CHECK(scale.sharedBytes == 32 * 4);
    CHECK(scale.pushConstantBytes == 0);
    const vk::Constant wider[] = {{1, 5}, {0, 100}};
    const auto other = vk::reflect("scale", scaleKernel(), wider);
    CHECK(other.localSize == std::array<uint32_t, 3>{100, 1, 1});
    CHECK(other.sharedBytes == 100 * 4);
}

TEST_CASE("Every shader of the library can be read, in both forms", "[Reflection]") {
    REQUIRE_FALSE(vk::shaders().empty());
    for (const vk::Shader& shader : vk::shaders()) {
        INFO(shader.name);
        CHECK_FALSE(vk::reflect(shader.name, shader.code).bindings.empty());
        CHECK_FALSE(vk::reflect(shader.name, shader.texturesCode).bindings.empty());
    }
}

TEST_CASE("What is no compute shader is refused by name", "[Reflection]") {
    const auto text = [](std::vector<uint32_t> code) {
        return sentence<DeviceError>([&] { vk::reflect("mine", code); });
    };
    const auto code = addKernel();
    const std::vector<uint32_t> good(code.begin(), code.end());
    const auto entry = std::find_if(good.begin() + 5, good.end(),
                                    [](uint32_t word) { return (word & 0xffff) == 15; });
    CHECK(text({}) == "The shader \"mine\" is not SPIR-V.");
    CHECK(text({1, 2, 3, 4, 5, 6}) == "The shader \"mine\" is not SPIR-V.");
    CHECK(text({good.begin(), good.begin() + 5}) ==
          "The shader \"mine\" has no compute entry point.");
    CHECK(text({good.begin(), entry + 2}) == "The shader \"mine\" is cut short.");
    auto twice = good;
    twice.insert(twice.end(), entry, entry + (*entry >> 16));
    CHECK(text(twice) == "The shader \"mine\" has more than one compute entry point.");
    auto graphics = good;
    graphics[size_t(entry - good.begin()) + 1] = 4; // Fragment
    CHECK(text(graphics) == "The shader \"mine\" has no compute entry point.");
    auto set = good;
    for (size_t i = 5; i < set.size(); i += set[i] >> 16)
        if ((set[i] & 0xffff) == 71 && set[i + 2] == 34) set[i + 3] = 1; // DescriptorSet 1
    CHECK(text(set) == "The shader \"mine\" uses a descriptor set other than 0.");
}

TEST_CASE("Images that are no 2D arrays are refused", "[Reflection]") {
    const auto code = textureKernel();
    const std::vector<uint32_t> good(code.begin(), code.end());
    size_t images = 0;
    for (size_t at = 5; at < good.size(); at += good[at] >> 16) {
        if ((good[at] & 0xffff) != 25) continue; // OpTypeImage
        ++images;
        // It says dimensions, depth, arrayed and multisampled.
        for (const auto& [word, value] : {std::array<uint32_t, 2>{3, 2}, {5, 0}, {6, 1}}) {
            INFO("word " << word << " is " << value);
            auto other = good;
            REQUIRE(other[at + word] != value);
            other[at + word] = value;
            CHECK(sentence<DeviceError>([&] { vk::reflect("mine", other); }) ==
                  "The shader \"mine\" declares an image that is no 2D array.");
        }
    }
    CHECK(images == 2); // one is sampled, one is written
}

TEST_CASE("Damaged modules are refused or read, never followed out of bounds", "[Reflection]") {
    std::minstd_rand random(1);
    size_t refused = 0;
    for (const auto code : {addKernel(), scaleKernel(), textureKernel()})
        for (int time = 0; time < 2000; ++time) {
            std::vector<uint32_t> bad(code.begin(), code.end());
            for (int i = 0; i < 3; ++i)
                bad[5 + random() % (bad.size() - 5)] = uint32_t(random() % 80);
            try {
                vk::reflect("mine", bad);
            } catch (const DeviceError&) {
                ++refused;
            }
        }
    CHECK(refused > 1000);
}

TEST_CASE("A workgroup above the device's limits is refused before it is compiled",
          "[Reflection]") {
    const auto code = scaleKernel();
    const std::vector<uint32_t> words(code.begin(), code.end());
    const uint32_t most = insides().properties().limits.maxComputeWorkGroupSize[0];
    CHECK(sentence<DeviceError>([&] {
              insides().pipelines().make("big", words, {{0, most + 1}});
          }) == "The shader \"big\" wants " + std::to_string(most + 1) +
                    " invocations in a row of a workgroup but the device's limit is " +
                    std::to_string(most) + ".");
}

TEST_CASE("A pipeline of a shader that there is not", "[Reflection]") {
    CHECK(sentence<DeviceError>([] { insides().pipelines().find("Nonesuch", false, {}); }) ==
          "No shader is named \"Nonesuch\".");
}
