// What tiles take of shared memory, by their shaders' own code.
#include "mps/ConvolutionWeights.hpp"
#include "mps/DeviceTable.hpp"
#include "mps/ProductTile.hpp"
#include "mtl/Device.hpp"
#include "support/Device.hpp"
#include "support/Sentence.hpp"
#include "vk/Reflection.hpp"
#include "vk/Shaders.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <string>
#include <utility>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

const vk::Device& device() { return *testDevice().impl().vk; }

/// 0 where the shader compiler left the shader out.
uint64_t sharedBytes(std::string_view shader, const std::vector<vk::Constant>& constants) {
    const auto all = vk::shaders();
    const auto found = std::ranges::find(all, shader, &vk::Shader::name);
    if (found == all.end()) return 0;
    return vk::reflect(shader, found->code, constants).sharedBytes;
}

} // namespace

TEST_CASE("a tile's shared memory is what its shaders declare, at most") {
    vk::Limits limits;
    limits.sharedMemoryBytes = 64 << 10;
    limits.workGroupInvocations = 1024;
    limits.subgroupSize = 32;
    size_t tiles = 0;
    const std::pair<std::string, uint32_t> bodies[] = {
        {"Cooperative", 1}, {"Bfloat16", 2}, {"Bfloat16", 3}, {"Blocks", 1}};
    for (const auto architecture : {vk::Architecture::Nvidia, vk::Architecture::Other})
        for (const auto& [body, shares] : bodies)
            for (const uint64_t columns : {32, 64, 128}) {
                if (shares == 3 && columns == 32) continue;
                limits.processor = {architecture, {}, 132, false};
                const bool cooperative = body != "Blocks";
                const mps::ProductShape shape{.rows = 10000,
                                              .columns = columns,
                                              .interior = 64,
                                              .cooperative = cooperative,
                                              .shares = shares,
                                              .tileColumns = columns};
                for (const auto& tile :
                     mps::tilesFor(limits, shape, mps::planProduct(limits, shape))) {
                    const auto constants = tile.constants(device());
                    INFO(body << ", " << shares << " shares, of " << tile.rows() << " x "
                              << tile.columns());
                    for (const auto& shader :
                         {"CNNConvolution" + body, "CNNConvolutionGradientWeights" + body})
                        CHECK(sharedBytes(shader, constants) <= tile.sharedBytes(false));
                    if (!cooperative)
                        CHECK(sharedBytes("CNNConvolutionBlocks", constants) == tile.sharedBytes());
                    else
                        for (const uint32_t transposed : {0u, 1u})
                            CHECK(sharedBytes("MatrixMultiplication" + body,
                                              tile.constants(device(), {{33, transposed}})) <=
                                  tile.sharedBytes(transposed));
                    ++tiles;
                }
            }
    CHECK(tiles > 20);
}

TEST_CASE("convolutions and products have tiles for the least shared memory") {
    const Environment least("MPSVK_DISABLE", "direct_tile,large_shared_memory");
    const uint64_t most = mps::tileLimits(device()).sharedMemoryBytes;
    CHECK(most == 16384);
    for (const uint32_t groups : {1u, 3u})
        for (const uint32_t results : {1u, 5u, 8u, 16u, 24u, 32u, 64u, 128u, 512u})
            for (const bool flat : {false, true}) {
                const auto tile =
                    mps::chooseTile(device(), groups, results / groups + 1, 64, results, flat);
                INFO(groups << " groups, " << results << " results, tiles of " << tile.texels
                            << " texels");
                CHECK(sharedBytes("CNNConvolution", {{32, tile.lanes},
                                                     {33, tile.texels},
                                                     {34, tile.pixels(1000)},
                                                     {36, 1}}) <= most);
            }
    CHECK(sharedBytes("MatrixMultiplicationLow", {}) <= most);
}
