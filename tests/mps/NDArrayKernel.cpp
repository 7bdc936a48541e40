// What every kernel on arrays has from its bases, shown with a strided slice and a gather.
#include "support/Conformance.hpp"
#include "support/NDArrays.hpp"

#include <mpsvk/MPS/KeyedArchiver.hpp>
#include <mpsvk/MPS/NDArrayGather.hpp>
#include <mpsvk/MPS/NDArrayStridedSlice.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;
using MPS::DataType;

namespace {

MPS::NDArrayStridedSlice everyOtherRow() {
    MPS::NDArrayStridedSlice kernel(testDevice());
    auto strides = kernel.strides();
    strides.dimensions[1] = 2;
    kernel.setStrides(strides);
    return kernel;
}

/// Makes arrays of its own and remembers for whom.
struct CountingAllocator : MPS::NDArrayAllocator {
    MPS::NDArray array(MTL::CommandBuffer commands, MPS::NDArrayDescriptor d,
                       const MPS::Kernel& kernel) override {
        askedBy.push_back(kernel.className());
        return MPS::NDArray(commands.device(), d);
    }
    std::vector<std::string> askedBy;
};

} // namespace

TEST_CASE("kernels on arrays have the properties of their sources") {
    const MPS::NDArrayStridedSlice slice = everyOtherRow();
    CHECK(slice.sourceCount() == 1);
    CHECK(slice.offsets() == MPS::NDArrayOffsets{});
    CHECK(slice.edgeMode() == MPS::ImageEdgeMode::Zero);
    CHECK(slice.kernelSizes().dimensions[15] == 1);
    CHECK(slice.dilationRates().dimensions[0] == 1);
    CHECK(slice.strides(0).dimensions[1] == 2);
    CHECK(slice.strides().dimensions[2] == 1);
    CHECK(refusal([&] { slice.strides(1); }) ==
          "[NDArrayStridedSlice] A property of source 1 was asked for but sourceCount is 1.");
    const MPS::NDArrayGather gather(testDevice());
    CHECK(gather.sourceCount() == 2);
    CHECK(gather.primaryStrides().dimensions[0] == 1);
    CHECK(gather.secondaryKernelSizes().dimensions[3] == 1);
    CHECK(gather.secondaryOffsets() == gather.primaryOffsets());
    CHECK(gather.secondaryEdgeMode() == gather.primaryEdgeMode());
    CHECK(gather.primaryKernelSizes() == gather.secondaryDilationRates());
    CHECK(gather.primaryDilationRates() == gather.secondaryDilationRates());
    CHECK(gather.secondaryStrides() == gather.primaryStrides());
    CHECK(MPS::NDArrayGatherGradient(testDevice()).sourceGradientIndex() == 0);
}

TEST_CASE("results of kernels on arrays come from the allocator") {
    auto kernel = everyOtherRow();
    const MPS::NDArray x = arrayOf(NDValues::counting({3, 4}));
    CHECK(kernel.destinationArrayDescriptor({x}).getShape() == std::vector<uint64_t>{2, 3});
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::NDArray temporary = kernel.encode(commands, x);
        CHECK(temporary.isTemporary());
        CHECK(temporary.as<MPS::TemporaryNDArray>().readCount() == 1);
    });
    const auto allocator = std::make_shared<CountingAllocator>();
    kernel.setDestinationArrayAllocator(allocator);
    MPS::NDArray y;
    run([&](const MTL::CommandBuffer& commands) { y = kernel.encode(commands, x); });
    CHECK(allocator->askedBy == std::vector<std::string>{"NDArrayStridedSlice"});
    CHECK(valuesIn(y).v == Values{1, 2, 3, 7, 8, 9});
    CHECK(refusal([&] { MPS::KeyedArchiver::archivedData(kernel); }) ==
          "[KeyedArchiver] The destination array allocator cannot be archived: its class is not "
          "SecureCoding.");
    kernel.setDestinationArrayAllocator(nullptr);
    CHECK(kernel.destinationArrayAllocator() == MPS::TemporaryNDArray::defaultAllocator());
}

TEST_CASE("a chain of kernels on temporary arrays reads each as often as it says") {
    auto kernel = everyOtherRow();
    const NDValues values = NDValues::random({5, 16}, 8, DataType::Float32);
    const MPS::NDArray x = arrayOf(values), y(testDevice(), descriptorOf({5, 4}));
    run([&](const MTL::CommandBuffer& commands) {
        const auto once = kernel.encode(commands, x).as<MPS::TemporaryNDArray>();
        kernel.encode(commands, once, y);
        CHECK(once.readCount() == 0);
        CHECK(refusal([&] { kernel.encode(commands, once, y); }) ==
              "[NDArrayStridedSlice] sourceArrays[0] is temporary and its read count is 0: its "
              "memory is given back already.");
    });
    NDValues expected({5, 4});
    expected.forEach([&](const Lengths& at) { expected[at] = values[{at[0], at[1] * 4}]; });
    CHECK(valuesIn(y).v == expected.v);
}

TEST_CASE("gradient states record each encode anew") {
    auto kernel = everyOtherRow();
    const MPS::NDArray x = arrayOf(NDValues::counting({2, 4})),
                       y(testDevice(), descriptorOf({2, 2}));
    writeTo(y, NDValues::counting({2, 2}));
    MPS::NDArrayStridedSliceGradient gradient(testDevice());
    gradient.setDestinationArrayAllocator(MPS::NDArray::defaultAllocator());
    MPS::NDArray first, second;
    run([&](const MTL::CommandBuffer& commands) {
        const MPS::State state = kernel.resultState({x}, {}, y);
        first = gradient.encode(commands, x, y, state);
        auto strides = kernel.strides();
        strides.dimensions[1] = -2;
        kernel.setStrides(strides);
        kernel.encode(commands, x, state, y);
        second = gradient.encode(commands, x, y, state);
        CHECK(refusal([&] { kernel.encode(commands, x, MPS::State(testDevice(), 4), y); }) ==
              "[NDArrayStridedSlice] resultState was not made by a NDArrayStridedSlice.");
    });
    CHECK(valuesIn(first).v == Values{1, 2, 0, 0, 3, 4, 0, 0});
    CHECK(valuesIn(second).v == Values{0, 0, 3, 4, 0, 0, 7, 8});
}

TEST_CASE("kernels on arrays go between the dispatches of an open encoder") {
    auto kernel = everyOtherRow();
    const MPS::NDArray x = arrayOf(NDValues::counting({2, 4})),
                       y(testDevice(), descriptorOf({2, 2}));
    run([&](const MTL::CommandBuffer& commands) {
        const MTL::ComputeCommandEncoder encoder = commands.computeCommandEncoder();
        kernel.encode(encoder, commands, {x}, y);
        CHECK(refusal([&] { kernel.encode(commands, x, y); }).starts_with("[NDArrayStridedSlice]"));
        const MTL::CommandBuffer other = testQueue().commandBuffer();
        CHECK(refusal([&] { kernel.encode(encoder, other, {x}, y); }) ==
              "[NDArrayStridedSlice] The encoder is open on another command buffer.");
        encoder.endEncoding();
        CHECK_FALSE(refusal([&] { kernel.encode(encoder, commands, {x}, y); }).empty());
        kernel.encode(MTL::ComputeCommandEncoder(), commands, {x}, y);
    });
    CHECK(valuesIn(y).v == Values{1, 2, 5, 6});
}

TEST_CASE("kernels on arrays refuse what is not there") {
    auto kernel = everyOtherRow();
    kernel.setLabel("k");
    const std::string who = "[NDArrayStridedSlice \"k\"] ";
    const MPS::NDArray x = arrayOf(NDValues::counting({2, 4})),
                       y(testDevice(), descriptorOf({2, 2}));
    run([&](const MTL::CommandBuffer& commands) {
        CHECK(refusal([&] { kernel.encode(commands, MPS::NDArray(), y); }) ==
              who + "sourceArrays[0] is empty.");
        CHECK(refusal([&] { kernel.encode(commands, x, MPS::NDArray()); }) ==
              who + "destinationArray is empty.");
        CHECK(refusal([&] {
                  kernel.encode(commands, std::vector<MPS::NDArray>{x, x}, y);
              }) == who + "sourceArrays has 2 arrays but sourceCount is 1.");
        CHECK(refusal([&] { kernel.resultState({x}, {}, MPS::NDArray()); }) ==
              who + "destinationArray is empty.");
        CHECK_FALSE(refusal([&] { kernel.encode(MTL::CommandBuffer(), x, y); }).empty());
        CHECK_FALSE(refusal([&] { kernel.encode(MTL::CommandBuffer(), x); }).empty());
        MTL::CommandBuffer committed = testQueue().commandBuffer();
        committed.commit();
        CHECK(refusal([&] { kernel.encode(committed, x, y); }).starts_with(who));
        CHECK(refusal([&] { kernel.encode(committed, x); }).starts_with(who));
    });
    CHECK(valuesIn(y).v == Values(4, 0));
}
