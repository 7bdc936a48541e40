// MTLComputePipelineState: a kernel, ready to run.
#pragma once

#include <mpsvk/MTL/Library.hpp>

namespace mpsvk::MTL {

/// GLSL fixes the threads of a threadgroup (`layout(local_size_x = 64) in;`) unless it leaves them
/// open as specialization constants (`layout(local_size_x_id = 0) in;`); then every dispatch says
/// how many it wants, and the driver compiles the kernel once for each answer.
/// MTLComputePipelineState.
class ComputePipelineState : public Object {
public:
    ComputePipelineState() = default;
    std::string label() const; ///< the function's label, else its name
    Device device() const;
    /// Threads of a threadgroup as the kernel fixes them, a 0 where a dispatch chooses.
    Size requiredThreadsPerThreadgroup() const;
    /// The most threads that a threadgroup can have: the fixed number, or the device's limit.
    uint64_t maxTotalThreadsPerThreadgroup() const;
    /// The device's subgroup size.
    uint64_t threadExecutionWidth() const;
    /// Bytes of `shared` memory that the kernel declares.
    uint64_t staticThreadgroupMemoryLength() const;

    static bool isKindOf(const detail::ObjectImpl&);
    struct Impl;
    Impl& impl() const;
    explicit ComputePipelineState(std::shared_ptr<Impl> impl);
};

} // namespace mpsvk::MTL
