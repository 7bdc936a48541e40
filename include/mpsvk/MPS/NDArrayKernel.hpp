// The bases of the kernels on arrays.
//
// A kernel reads arrays (or views of them) and writes one. The encodes that return it ask
// destinationArrayDescriptor for its shape and the allocator for the array; those that are given it
// want that very shape and data type. All of them throw InvalidArgument when an array is empty, of
// another device, spent, of a shape or type that does not fit, or overlaps the destination; then
// nothing is recorded.
#pragma once

#include <mpsvk/MPS/Kernel.hpp>
#include <mpsvk/MPS/NDArray.hpp>
#include <mpsvk/MPS/NDArrayGradientState.hpp>
#include <mpsvk/MTL/ComputeCommandEncoder.hpp>

#include <functional>

namespace mpsvk::mps {
struct NDPass;
struct NDRecord;
} // namespace mpsvk::mps

namespace mpsvk::MPS {

/// What forward and gradient kernels have in common. MPSNDArrayMultiaryBase.
class NDArrayMultiaryBase : public Kernel {
public:
    using Kernel::encode;

    uint64_t sourceCount() const { return sourceCount_; }
    /// How the kernel walks over a source; Apple's properties are read-only. Throw InvalidArgument
    /// for an index from sourceCount on. Offsets are 0 (give the kernel a view), the edge mode
    /// is Zero, sizes and dilation rates are 1, and so are strides but a strided slice's.
    NDArrayOffsets offsets(uint64_t sourceIndex) const;
    ImageEdgeMode edgeMode(uint64_t sourceIndex) const;
    NDArraySizes kernelSizes(uint64_t sourceIndex) const;
    NDArrayOffsets strides(uint64_t sourceIndex) const;
    NDArraySizes dilationRates(uint64_t sourceIndex) const;

    /// Makes the arrays that encodes return: temporary ones by default.
    std::shared_ptr<NDArrayAllocator> destinationArrayAllocator() const { return allocator_; }
    void setDestinationArrayAllocator(std::shared_ptr<NDArrayAllocator> allocator);

    /// The shape of the result, whatever the state. A gradient kernel's is that of the source whose
    /// gradient it is.
    NDArrayDescriptor destinationArrayDescriptor(const std::vector<NDArray>& sourceArrays,
                                                 const State& sourceState = {}) const;
    /// Empty when this kernel makes no state. The sources' own states do not change it.
    State resultState(const std::vector<NDArray>& sourceArrays,
                      const std::vector<State>& sourceStates,
                      const NDArray& destinationArray) const;

protected:
    NDArrayMultiaryBase(const MTL::Device& device, uint64_t sourceCount);
    /// For a class that is made with any number of sources.
    void archiveSourceCount(mps::Archive& archive);
    void archive(mps::Archive& archive) override;

    virtual NDArrayOffsets sourceStrides() const;
    /// `sources` are checked.
    virtual NDArrayDescriptor resultDescriptor(const std::vector<NDArray>& sources) const = 0;
    /// True when the result may have this type, though it is not the descriptor's.
    virtual bool takesResultType(DataType type) const;
    /// A state without a record; empty by default.
    virtual NDArrayGradientState makeState(const MTL::Device& device) const;
    /// What the class adds to the record of an encode.
    virtual void record(mps::NDRecord& record) const;
    /// Throws InvalidArgument; called once per encode before anything is recorded.
    virtual void validate(const mps::NDPass& pass) const;
    virtual void dispatch(const mps::NDPass& pass) const = 0;

    void checkSources(const std::vector<NDArray>& sources) const;
    NDArray allocate(const MTL::CommandBuffer& commandBuffer,
                     const NDArrayDescriptor& descriptor) const;
    /// One encode: checks, dispatches, lowers the read counts. `gradient` is empty in a forward
    /// one.
    void run(const MTL::CommandBuffer& commandBuffer, const std::vector<NDArray>& sources,
             const NDArray& gradient, const State& state, const NDArray& destination);

private:
    void checkSourceIndex(uint64_t index) const;
    void takeRecord(const std::vector<NDArray>& sources, const NDArray& destination,
                    const State& state) const;

    uint64_t sourceCount_;
    std::shared_ptr<NDArrayAllocator> allocator_;
};

/// From any number of arrays to one. MPSNDArrayMultiaryKernel.
class NDArrayMultiaryKernel : public NDArrayMultiaryBase {
public:
    using NDArrayMultiaryBase::encode;

    NDArray encode(const MTL::CommandBuffer& commandBuffer,
                   const std::vector<NDArray>& sourceArrays);
    void encode(const MTL::CommandBuffer& commandBuffer, const std::vector<NDArray>& sourceArrays,
                const NDArray& destinationArray);
    /// `resultState` may be null. A kernel without a gradient leaves it empty; others keep no
    /// memory in it, so that it is never temporary.
    NDArray encode(const MTL::CommandBuffer& commandBuffer,
                   const std::vector<NDArray>& sourceArrays, State* resultState,
                   bool outputStateIsTemporary);
    /// `resultState` is one of this kernel's, or empty.
    void encode(const MTL::CommandBuffer& commandBuffer, const std::vector<NDArray>& sourceArrays,
                const State& resultState, const NDArray& destinationArray);
    /// With an encoder that is open on the command buffer, or an empty one.
    void encode(const MTL::ComputeCommandEncoder& encoder, const MTL::CommandBuffer& commandBuffer,
                const std::vector<NDArray>& sourceArrays, const NDArray& destinationArray);

protected:
    using NDArrayMultiaryBase::NDArrayMultiaryBase;
    /// Calls `encode` so that its dispatches go between those of the encoder, if it is not empty.
    void within(const MTL::ComputeCommandEncoder& encoder, const MTL::CommandBuffer& commandBuffer,
                const std::function<void()>& encode) const;
};

/// The gradient of the loss with respect to source `sourceGradientIndex` of a forward kernel.
/// `sourceGradient` is that with respect to its result; the state is the forward kernel's, and
/// gives its properties. MPSNDArrayMultiaryGradientKernel.
class NDArrayMultiaryGradientKernel : public NDArrayMultiaryBase {
public:
    using NDArrayMultiaryBase::encode;

    uint64_t sourceGradientIndex() const { return sourceGradientIndex_; }
    NDArray encode(const MTL::CommandBuffer& commandBuffer,
                   const std::vector<NDArray>& sourceArrays, const NDArray& sourceGradient,
                   const State& gradientState);
    void encode(const MTL::CommandBuffer& commandBuffer, const std::vector<NDArray>& sourceArrays,
                const NDArray& sourceGradient, const State& gradientState,
                const NDArray& destinationArray);

protected:
    NDArrayMultiaryGradientKernel(const MTL::Device& device, uint64_t sourceCount,
                                  uint64_t sourceGradientIndex);
    /// The forward class whose states this kernel takes.
    virtual std::string forwardClassName() const = 0;
    NDArrayDescriptor resultDescriptor(const std::vector<NDArray>& sources) const override;
    void validate(const mps::NDPass& pass) const override;

private:
    uint64_t sourceGradientIndex_;
};

/// From one array to another. MPSNDArrayUnaryKernel.
class NDArrayUnaryKernel : public NDArrayMultiaryKernel {
public:
    using NDArrayMultiaryBase::dilationRates, NDArrayMultiaryBase::edgeMode,
        NDArrayMultiaryBase::kernelSizes, NDArrayMultiaryBase::offsets,
        NDArrayMultiaryBase::strides;
    using NDArrayMultiaryKernel::encode;

    NDArrayOffsets offsets() const { return offsets(0); }
    ImageEdgeMode edgeMode() const { return edgeMode(0); }
    NDArraySizes kernelSizes() const { return kernelSizes(0); }
    NDArrayOffsets strides() const { return strides(0); }
    NDArraySizes dilationRates() const { return dilationRates(0); }

    NDArray encode(const MTL::CommandBuffer& commandBuffer, const NDArray& sourceArray);
    void encode(const MTL::CommandBuffer& commandBuffer, const NDArray& sourceArray,
                const NDArray& destinationArray);
    NDArray encode(const MTL::CommandBuffer& commandBuffer, const NDArray& sourceArray,
                   State* resultState, bool outputStateIsTemporary);
    void encode(const MTL::CommandBuffer& commandBuffer, const NDArray& sourceArray,
                const State& resultState, const NDArray& destinationArray);

protected:
    NDArrayUnaryKernel(const MTL::Device& device) : NDArrayMultiaryKernel(device, 1) {}
};

/// From two arrays to one. MPSNDArrayBinaryKernel.
class NDArrayBinaryKernel : public NDArrayMultiaryKernel {
public:
    using NDArrayMultiaryKernel::encode;

    NDArrayOffsets primaryOffsets() const { return offsets(0); }
    ImageEdgeMode primaryEdgeMode() const { return edgeMode(0); }
    NDArraySizes primaryKernelSizes() const { return kernelSizes(0); }
    NDArrayOffsets primaryStrides() const { return strides(0); }
    NDArraySizes primaryDilationRates() const { return dilationRates(0); }
    NDArrayOffsets secondaryOffsets() const { return offsets(1); }
    ImageEdgeMode secondaryEdgeMode() const { return edgeMode(1); }
    NDArraySizes secondaryKernelSizes() const { return kernelSizes(1); }
    NDArrayOffsets secondaryStrides() const { return strides(1); }
    NDArraySizes secondaryDilationRates() const { return dilationRates(1); }

    NDArray encode(const MTL::CommandBuffer& commandBuffer, const NDArray& primarySourceArray,
                   const NDArray& secondarySourceArray);
    void encode(const MTL::CommandBuffer& commandBuffer, const NDArray& primarySourceArray,
                const NDArray& secondarySourceArray, const NDArray& destinationArray);
    NDArray encode(const MTL::CommandBuffer& commandBuffer, const NDArray& primarySourceArray,
                   const NDArray& secondarySourceArray, State* resultState,
                   bool outputStateIsTemporary);
    void encode(const MTL::CommandBuffer& commandBuffer, const NDArray& primarySourceArray,
                const NDArray& secondarySourceArray, const State& resultState,
                const NDArray& destinationArray);

protected:
    NDArrayBinaryKernel(const MTL::Device& device) : NDArrayMultiaryKernel(device, 2) {}
};

/// The gradient of a unary kernel. MPSNDArrayUnaryGradientKernel.
class NDArrayUnaryGradientKernel : public NDArrayMultiaryGradientKernel {
public:
    using NDArrayMultiaryGradientKernel::encode;

    NDArray encode(const MTL::CommandBuffer& commandBuffer, const NDArray& sourceArray,
                   const NDArray& sourceGradient, const State& gradientState);
    void encode(const MTL::CommandBuffer& commandBuffer, const NDArray& sourceArray,
                const NDArray& sourceGradient, const State& gradientState,
                const NDArray& destinationArray);

protected:
    NDArrayUnaryGradientKernel(const MTL::Device& device)
        : NDArrayMultiaryGradientKernel(device, 1, 0) {}
};

/// What the two gradients of a binary kernel have in common.
class NDArrayBinaryGradientKernel : public NDArrayMultiaryGradientKernel {
public:
    using NDArrayMultiaryGradientKernel::encode;

    NDArray encode(const MTL::CommandBuffer& commandBuffer, const NDArray& primarySourceArray,
                   const NDArray& secondarySourceArray, const NDArray& sourceGradient,
                   const State& gradientState);
    void encode(const MTL::CommandBuffer& commandBuffer, const NDArray& primarySourceArray,
                const NDArray& secondarySourceArray, const NDArray& sourceGradient,
                const State& gradientState, const NDArray& destinationArray);

protected:
    using NDArrayMultiaryGradientKernel::NDArrayMultiaryGradientKernel;
};

/// With respect to the primary source. MPSNDArrayBinaryPrimaryGradientKernel.
class NDArrayBinaryPrimaryGradientKernel : public NDArrayBinaryGradientKernel {
protected:
    NDArrayBinaryPrimaryGradientKernel(const MTL::Device& device)
        : NDArrayBinaryGradientKernel(device, 2, 0) {}
};

/// With respect to the secondary source. MPSNDArrayBinarySecondaryGradientKernel.
class NDArrayBinarySecondaryGradientKernel : public NDArrayBinaryGradientKernel {
protected:
    NDArrayBinarySecondaryGradientKernel(const MTL::Device& device)
        : NDArrayBinaryGradientKernel(device, 2, 1) {}
};

} // namespace mpsvk::MPS
