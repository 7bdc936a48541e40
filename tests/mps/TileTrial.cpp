// Tiles that are chosen by measuring change the time and nothing else.
#include "mps/TileTrial.hpp"

#include "mps/ConvolutionCases.hpp"
#include "mps/DeviceTable.hpp"
#include "mtl/Device.hpp"
#include "support/Folder.hpp"
#include "support/Matrices.hpp"
#include "support/Sentence.hpp"
#include "vk/ChoiceFile.hpp"

#include <mpsvk/MPS/MatrixMultiplication.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

size_t fastestOf(const std::vector<double>& seconds, double budget = 100) {
    std::vector<int> runs(seconds.size(), 0);
    return mps::fastest(seconds.size(), budget, [&](size_t i) {
        // The first run of each takes long, the others vary.
        const int run = runs[i]++;
        return run == 0 ? 100 - seconds[i] : seconds[i] * (1 + 0.1 * (run % 3));
    });
}

/// That a product which was tuned gives the same with each of its tiles; returns what its choice is
/// remembered under.
template <class Results, class Expected>
std::string checkEveryTile(const char* shader, const mps::ProductShape& shape,
                           const Results& results, const Expected& expected) {
    const vk::Limits limits = mps::tileLimits(*testDevice().impl().vk);
    const auto plan = mps::planProduct(limits, shape);
    const auto key = mps::shapeClass(shader, shape, plan);
    auto& choices = vk::ChoiceFile::of(testDevice().impl().vk->properties());
    CHECK(choices.find(key));
    const auto tiles = mps::tilesFor(limits, shape, plan);
    CHECK(tiles.size() > 1);
    for (const auto& tile : tiles) {
        choices.remember(key, mps::nameOf(tile));
        CHECK(results() == expected);
    }
    return key;
}

} // namespace

TEST_CASE("the fastest of some tiles is taken, the first unless another is clearly faster") {
    CHECK(fastestOf({3, 2, 1, 4}) == 2);
    CHECK(fastestOf({1, 2, 3}) == 0);
    CHECK(fastestOf({1, 0.99, 1.5}) == 0);
    CHECK(fastestOf({5}) == 0);
    CHECK(fastestOf({3, 2, 1}, 0) == 0); // no time
}

TEST_CASE("measuring ends with its budget") {
    size_t runs = 0;
    mps::fastest(3, 1e-9, [&](size_t) {
        ++runs;
        return 1.0;
    });
    CHECK(runs <= 1);
}

TEST_CASE("a tile that spills is refused, unless all do") {
    std::vector<mps::ProductTile> tiles(4);
    for (uint32_t i = 0; i < 4; ++i) tiles[i].down = i;
    size_t asked = 0;
    const auto first = [&](std::vector<uint32_t> spilling, size_t most) {
        asked = 0;
        std::vector<uint32_t> made;
        for (const auto& tile : mps::withoutSpills(tiles, most, [&](const mps::ProductTile& t) {
                 ++asked;
                 return std::ranges::count(spilling, t.down) > 0;
             }))
            made.push_back(tile.down);
        return made;
    };
    using Tiles = std::vector<uint32_t>;
    CHECK(first({}, 1) == Tiles{0});
    CHECK(asked == 1); // each question is a compilation
    CHECK(first({0, 1}, 1) == Tiles{2});
    CHECK(first({1}, 5) == Tiles{0, 2, 3});
    CHECK(first({0, 1, 2, 3}, 5) == Tiles{0});
}

TEST_CASE("like shapes are of one class") {
    const auto of = [](uint64_t rows, uint64_t step, uint32_t parts) {
        return mps::shapeClass(
            "A", {.rows = rows, .columns = 64, .interior = 576, .interiorStep = step}, {{}, parts});
    };
    CHECK(of(1100, 64, 1) == of(1900, 128, 1));
    CHECK(of(1100, 64, 1) != of(2100, 64, 1));
    CHECK(of(1100, 64, 1) != of(1100, 32, 1)); // whose candidates are others
    CHECK(of(1100, 64, 1) != of(1100, 64, 2));
    const mps::ProductShape along{.rows = 1100, .columns = 64, .interior = 576};
    mps::ProductShape across = along;
    across.rightAlong = false;
    CHECK(mps::shapeClass("A", along, {}) != mps::shapeClass("A", across, {}));
    mps::ProductShape split = along;
    split.shares = 3;
    CHECK(mps::shapeClass("A", along, {}) != mps::shapeClass("A", split, {}));
    mps::ProductShape turned = split;
    turned.leftAlong = false;
    CHECK(mps::shapeClass("A", split, {}) != mps::shapeClass("A", turned, {}));
}

TEST_CASE("a convolution tuned on the device has the same bits, and remembers its tile") {
    const Folder folder;
    const Environment own("MPSVK_CACHE_DIR", folder.path.string().c_str());
    const Environment blocks("MPSVK_DISABLE", "direct_tile,winograd,measured_tiles");
    const auto r = referenceOf({"", 1, 6, 7, 8, 24, 3, 3, 1, 1, 1, false, false, same}, 3);
    const Tensor x =
        reference::rounded(reference::random(1, 6, 7, 8, 6), reference::Storage::Float32);
    const Kernels kernels(r);
    MPS::CNNConvolution forward = kernels.forward;
    const auto results = [&] {
        const MPS::ImageBatch source = upload(x, {});
        const MPS::ImageBatch made = upload(Tensor(1, 6, 7, 24));
        run([&](const MTL::CommandBuffer& commands) {
            forward.encodeBatch(commands, source, made);
        });
        return download(made).v;
    };
    const auto expected = results();
    CHECK(!std::filesystem::exists(vk::ChoiceFile::path(testDevice().impl().vk->properties())));

    const Environment tuning("MPSVK_AUTOTUNE", "1");
    const Remarks remarks;
    const auto trials = [&] {
        return std::ranges::count_if(remarks.all(), [](const auto& remark) {
            return remark.second.find("the fastest is") != std::string::npos;
        });
    };
    CHECK(results() == expected);
    CHECK(trials() == 1);
    CHECK(std::filesystem::exists(vk::ChoiceFile::path(testDevice().impl().vk->properties())));
    CHECK(results() == expected);
    CHECK(trials() == 1);

    // Whatever the tile.
    const mps::ProductShape shape{.rows = 42,
                                  .columns = 32,
                                  .interior = 72,
                                  .cooperative = false,
                                  .tileColumns = 32,
                                  .interiorStep = 8,
                                  .rightAlong = false};
    const auto key = checkEveryTile("CNNConvolutionBlocks", shape, results, expected);
    auto& choices = vk::ChoiceFile::of(testDevice().impl().vk->properties());
    CHECK(trials() == 1);
    // What is no candidate is measured again.
    choices.remember(key, "1 2 3");
    CHECK(results() == expected);
    CHECK(trials() == 2);
}

TEST_CASE("a product of fp32 by matrices of bf16 has the same bits whatever its tile") {
    const vk::Device& device = *testDevice().impl().vk;
    if (!device.features().bfloat16) return;
    const uint32_t shares = GENERATE(2, 3);
    if (shares == 3 && !mps::splitsFloats(mps::tileLimits(device).processor)) return;
    const Folder folder;
    const Environment own("MPSVK_CACHE_DIR", folder.path.string().c_str());
    const Environment tuning("MPSVK_AUTOTUNE", "1");
    constexpr size_t rows = 200, columns = 136, interior = 96;
    const auto single = MPS::DataType::Float32;
    const Values a = randomValues(rows * interior, 1, single),
                 b = randomValues(interior * columns, 2, single), zeros(rows * columns, 0);
    MPS::MatrixMultiplication product(testDevice(), rows, columns, interior);
    if (shares == 2) product.setOptions(MPS::KernelOptions::AllowReducedPrecision);
    const auto results = [&] {
        const MPS::Matrix result = matrixOf(zeros, rows, columns, single);
        run([&](const MTL::CommandBuffer& commands) {
            product.encode(commands, matrixOf(a, rows, interior, single),
                           matrixOf(b, interior, columns, single), result);
        });
        return valuesOf(result);
    };
    const auto expected = results();
    const mps::ProductShape shape{.rows = rows,
                                  .columns = columns,
                                  .interior = interior,
                                  .shares = shares,
                                  .rightAlong = false};
    checkEveryTile("MatrixMultiplicationBfloat16", shape, results, expected);
}
