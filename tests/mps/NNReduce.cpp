#include "support/Conformance.hpp"
#include "support/EveryKernel.hpp"
#include "support/reference/Reduce.hpp"

#include <mpsvk/MPS/NNReduce.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>

using namespace mpsvk;
using namespace mpsvk::test;
using reference::ReduceAxis;
using reference::ReduceOperation;
using reference::Tensor;

namespace {

template <class Kernel> Kernel clipped() {
    Kernel kernel(testDevice());
    kernel.setClipRectSource({{1, 2, 0}, {4, 3, 1}});
    if constexpr (requires { kernel.setWeight(1); }) kernel.setWeight(0.5f);
    return kernel;
}
template <class... Kernels> bool everyReduction() {
    return (... && everyKernel([] { return clipped<Kernels>(); }));
}
[[maybe_unused]] const bool named =
    everyReduction<MPS::NNReduceRowMin, MPS::NNReduceRowMax, MPS::NNReduceRowMean,
                   MPS::NNReduceRowSum, MPS::NNReduceColumnMin, MPS::NNReduceColumnMax,
                   MPS::NNReduceColumnMean, MPS::NNReduceColumnSum, MPS::NNReduceFeatureChannelsMin,
                   MPS::NNReduceFeatureChannelsMax, MPS::NNReduceFeatureChannelsMean,
                   MPS::NNReduceFeatureChannelsSum, MPS::NNReduceFeatureChannelsArgumentMin,
                   MPS::NNReduceFeatureChannelsArgumentMax>();

struct Reduction {
    const char* name;
    ReduceAxis axis;
    ReduceOperation operation;
    std::function<std::unique_ptr<MPS::NNReduceUnary>()> make;

    Tensor expected(const Tensor& x) const { return reference::reduce(axis, operation, x); }
    /// The sum of |terms|, or what may be rounded once.
    Tensor magnitude(const Tensor& x) const {
        const bool sums = operation == ReduceOperation::Sum || operation == ReduceOperation::Mean;
        return sums ? expected(reference::absolute(x)) : reference::absolute(expected(x));
    }
};

template <class Kernel> std::unique_ptr<MPS::NNReduceUnary> made() {
    return std::make_unique<Kernel>(testDevice());
}

const std::vector<Reduction>& reductions() {
    using enum ReduceAxis;
    using enum ReduceOperation;
    static const std::vector<Reduction> all{
        {"NNReduceRowMin", Row, Minimum, made<MPS::NNReduceRowMin>},
        {"NNReduceRowMax", Row, Maximum, made<MPS::NNReduceRowMax>},
        {"NNReduceRowMean", Row, Mean, made<MPS::NNReduceRowMean>},
        {"NNReduceRowSum", Row, Sum, made<MPS::NNReduceRowSum>},
        {"NNReduceColumnMin", Column, Minimum, made<MPS::NNReduceColumnMin>},
        {"NNReduceColumnMax", Column, Maximum, made<MPS::NNReduceColumnMax>},
        {"NNReduceColumnMean", Column, Mean, made<MPS::NNReduceColumnMean>},
        {"NNReduceColumnSum", Column, Sum, made<MPS::NNReduceColumnSum>},
        {"NNReduceFeatureChannelsMin", Channels, Minimum, made<MPS::NNReduceFeatureChannelsMin>},
        {"NNReduceFeatureChannelsMax", Channels, Maximum, made<MPS::NNReduceFeatureChannelsMax>},
        {"NNReduceFeatureChannelsMean", Channels, Mean, made<MPS::NNReduceFeatureChannelsMean>},
        {"NNReduceFeatureChannelsSum", Channels, Sum, made<MPS::NNReduceFeatureChannelsSum>},
        {"NNReduceFeatureChannelsArgumentMin", Channels, ArgumentMinimum,
         made<MPS::NNReduceFeatureChannelsArgumentMin>},
        {"NNReduceFeatureChannelsArgumentMax", Channels, ArgumentMaximum,
         made<MPS::NNReduceFeatureChannelsArgumentMax>}};
    return all;
}

Tensor result(MPS::CNNKernel& kernel, const MPS::ImageBatch& x) {
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::ImageBatch y;
    run([&](const MTL::CommandBuffer& commands) { y = kernel.encodeBatch(commands, x); });
    return download(y);
}

} // namespace

TEST_CASE("reductions equal the reference in every storage") {
    for (const Variant variant : variants())
        for (const Reduction& reduction : reductions())
            for (const auto& [h, w, c] : {std::array<size_t, 3>{1, 1, 1},
                                          {5, 7, 3},
                                          {3, 70, 9},
                                          {65, 4, 18},
                                          {2, 3, 300}}) {
                INFO(variant.name()
                     << " " << reduction.name << " of " << h << "x" << w << "x" << c);
                const Tensor x =
                    reference::rounded(reference::distinct(2, h, w, c, 1), variant.rounding());
                const auto kernel = reduction.make();
                CHECK(kernel->className() == reduction.name);
                conforms(reduction.name, Aspect::Forward, variant);
                const Tensor expected = reduction.expected(x), magnitude = reduction.magnitude(x);
                Guarded y(2, expected.h, expected.w, expected.c, variant);
                run([&](const MTL::CommandBuffer& commands) {
                    kernel->encodeBatch(commands, upload(x, variant), y.images());
                });
                CHECK(reference::compare(y.read(), expected, {variant.tolerance(), 0, &magnitude}));
                CHECK(reference::compare(result(*kernel, upload(x, variant)), expected,
                                         {variant.tolerance(), 0, &magnitude}));
            }
}

TEST_CASE("reductions of a batch do not depend on where its images lie, nor on the run") {
    const Tensor x = reference::random(5, 18, 21, 6, 3);
    for (const Reduction& reduction : reductions()) {
        INFO(reduction.name);
        const auto kernel = reduction.make();
        const Tensor together = result(*kernel, upload(x));
        CHECK(together.v == result(*kernel, uploadApart(x)).v);
        CHECK(together.v == result(*kernel, upload(x)).v);
        for (size_t i = 0; i < x.n; ++i)
            CHECK(reference::image(together, i).v ==
                  result(*kernel, upload(reference::image(x, i))).v);
    }
}

TEST_CASE("a reduction reads its rectangle and channels and writes where it is told") {
    const Tensor x = reference::distinct(2, 9, 11, 12, 4);
    const Tensor part = reference::channels(reference::crop(x, {3, 2, 6, 5}), 4, 5);
    const auto source = upload(x);
    for (const Reduction& reduction : reductions()) {
        INFO(reduction.name);
        const auto kernel = reduction.make();
        kernel->setClipRectSource({{3, 2, 0}, {6, 5, 1}});
        kernel->setOffset({100, -3, 7}); // the rectangle takes its place
        kernel->setSourceFeatureChannelOffset(4);
        kernel->setSourceFeatureChannelMaxCount(5);
        const Tensor all = reduction.expected(part);
        CHECK(reference::compare(result(*kernel, source), all, {1e-6}));

        kernel->setDestinationFeatureChannelOffset(8);
        kernel->setClipRect({{1, 2, 0}, {std::min<uint64_t>(all.w, 4), 3, 1}});
        Tensor expected(2, all.h + 2, all.w + 1, 20, 9.0);
        const auto y = upload(expected);
        run([&](const MTL::CommandBuffer& commands) {
            kernel->setClipRect(
                {{1, 2, 0}, {std::min<uint64_t>(all.w, 4), std::min<uint64_t>(all.h, 3), 1}});
            kernel->encodeBatch(commands, source, y);
        });
        reference::paste(
            expected, {1, 2, std::min<size_t>(all.w, 4), std::min<size_t>(all.h, 3)}, 8,
            reference::crop(all, {0, 0, std::min<size_t>(all.w, 4), std::min<size_t>(all.h, 3)}));
        Tensor actual = download(y);
        const size_t end = 8 + all.c, slice = (end + 3) / 4 * 4;
        for (size_t i = 0; i < actual.size(); ++i) // the rest of the last slice goes with it
            if (actual.v[i] == 0 && i % 20 >= end && i % 20 < slice) actual.v[i] = 9;
        CHECK(reference::compare(actual, expected, {1e-6}));
    }
}

TEST_CASE("a reduction walks over the images of an array that its rectangles name") {
    MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Float32, 4, 3, 2, 5);
    const MPS::Image x(testDevice(), d);
    std::vector<Tensor> images;
    for (size_t i = 0; i < 5; ++i) {
        images.push_back(reference::random(1, 3, 4, 2, 10 + i));
        x.write(images[i].floats(), MPS::DataLayout::HeightxWidthxFeatureChannels, i);
    }
    MPS::NNReduceColumnSum kernel(testDevice());
    kernel.setClipRectSource({{0, 0, 1}, {4, 3, 2}});
    kernel.setDestinationImageAllocator(MPS::Image::defaultAllocator());
    MPS::Image y;
    run([&](const MTL::CommandBuffer& commands) { y = kernel.encode(commands, x); });
    REQUIRE(y.numberOfImages() == 2);
    std::vector<float> values(8);
    for (size_t i = 0; i < 2; ++i) {
        y.read(values, MPS::DataLayout::HeightxWidthxFeatureChannels, i);
        CHECK(reference::compare(
            reference::fromFloats(1, 1, 4, 2, values),
            reference::reduce(ReduceAxis::Column, ReduceOperation::Sum, images[1 + i])));
    }
    kernel.setClipRectSource({{0, 0, 5}, {4, 3, 1}});
    const auto commands = testQueue().commandBuffer();
    CHECK(refusal([&] { kernel.encode(commands, x, y); }) ==
          "[NNReduceColumnSum] The first image to be read is 5 but the source has 5 images.");
}

TEST_CASE("a NaN is chosen only where there is nothing else, and ties go to the first channel") {
    const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
    const Tensor x(1, 1, 4, 5,
                   {nan, 3,   3,   1,   1,   2,         nan, 2,        nan,      2,
                    nan, nan, nan, nan, nan, -infinity, nan, infinity, infinity, -infinity});
    for (const Reduction& reduction : reductions()) {
        if (reduction.operation == ReduceOperation::Sum ||
            reduction.operation == ReduceOperation::Mean)
            continue;
        INFO(reduction.name);
        const auto kernel = reduction.make();
        const Tensor actual = result(*kernel, upload(x)), expected = reduction.expected(x);
        for (size_t i = 0; i < actual.size(); ++i)
            CHECK((actual.v[i] == expected.v[i] ||
                   (std::isnan(actual.v[i]) && std::isnan(expected.v[i]))));
    }
    // Equal values a whole group of invocations apart.
    Tensor ties(1, 1, 1, 600, 1.0);
    ties.v[77] = ties.v[78] = ties.v[400] = 2;
    ties.v[300] = ties.v[550] = -2;
    MPS::NNReduceFeatureChannelsArgumentMax most(testDevice());
    MPS::NNReduceFeatureChannelsArgumentMin least(testDevice());
    CHECK(result(most, upload(ties)).v[0] == 77);
    CHECK(result(least, upload(ties)).v[0] == 300);
}

TEST_CASE("the place of an extreme of 8-bit channels is told in fp32") {
    MPS::ImageDescriptor d(MPS::ImageFeatureChannelFormat::Unorm8, 1, 1, 7);
    const MPS::Image bytes(testDevice(), d);
    bytes.write(std::vector<float>{.2f, .4f, .6f, .4f, 1, 0, .2f});
    MPS::NNReduceFeatureChannelsArgumentMax most(testDevice());
    MPS::NNReduceFeatureChannelsArgumentMin least(testDevice());
    CHECK(result(most, {bytes}).v[0] == 4);
    CHECK(result(least, {bytes}).v[0] == 5);
}

TEST_CASE("the sum over feature channels has a weight, and kernels can be copied") {
    const Tensor x = reference::random(1, 2, 3, 7, 20);
    MPS::NNReduceFeatureChannelsSum kernel(testDevice());
    CHECK(kernel.weight() == 1);
    kernel.setWeight(-2.5f);
    Tensor expected = reference::reduce(ReduceAxis::Channels, ReduceOperation::Sum, x);
    for (double& value : expected.v) value *= -2.5;
    auto copy = kernel.copy(testDevice());
    kernel.setWeight(3);
    CHECK(reference::compare(result(copy, upload(x)), expected));
}

TEST_CASE("a reduction refuses what cannot be") {
    const auto x = upload(reference::random(1, 4, 6, 3, 1)), y = upload(Tensor(1, 4, 6, 3));
    const auto commands = testQueue().commandBuffer();
    MPS::NNReduceRowMax kernel(testDevice());
    kernel.setLabel("peak");
    CHECK(refusal([&] { kernel.encodeBatch(commands, x, y); }) ==
          "[NNReduceRowMax \"peak\"] The clip rectangle covers 6x4 pixels of the destination but "
          "the result has only 1x4.");
    kernel.setClipRectSource({{6, 1, 0}, {2, 2, 1}});
    CHECK(refusal([&] { kernel.encodeBatch(commands, x); }) ==
          "[NNReduceRowMax \"peak\"] clipRectSource is 2x2 at (6, 1) and holds no pixel of the 6x4 "
          "source.");
    kernel.setClipRectSource(MPS::RectNoClip);
    kernel.setEdgeMode(MPS::ImageEdgeMode::Mirror);
    CHECK(refusal([&] { kernel.encodeBatch(commands, x); }).find("edgeMode is Mirror") !=
          std::string::npos);
}
