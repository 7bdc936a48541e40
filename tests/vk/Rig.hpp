// The test device's insides, and buffers and dispatches of the affine kernel on it.
#pragma once

#include "mtl/Device.hpp"
#include "support/Device.hpp"
#include "support/Kernels.hpp"
#include "vk/CommandList.hpp"
#include "vk/Device.hpp"
#include "vk/Pipeline.hpp"
#include "vk/Submission.hpp"

#include <memory>
#include <vector>

namespace mpsvk::test {

inline vk::Device& insides() { return *testDevice().impl().vk; }

inline std::shared_ptr<vk::Pipeline> affinePipeline() {
    const auto code = affineKernel();
    return insides().pipelines().make("affine", {code.begin(), code.end()}, {});
}

inline vk::BufferSlice slice(size_t count) {
    return vk::whole(insides().memory().allocate(count * sizeof(float), vk::MemoryKind::Shared));
}

inline vk::BufferSlice slice(const std::vector<float>& values) {
    const vk::BufferSlice made = slice(values.size());
    insides().upload(made, values.data());
    return made;
}

inline std::vector<float> read(const vk::BufferSlice& from) {
    std::vector<float> values(from.size / sizeof(float));
    insides().download(from, values.data());
    return values;
}

/// destination = source * scale + offset
inline void affine(vk::CommandList& list, const std::shared_ptr<vk::Pipeline>& pipeline,
                   const vk::BufferSlice& source, const vk::BufferSlice& destination, float scale,
                   float offset, vk::Refresh refresh = {}) {
    const AffineParameters parameters{scale, offset, uint32_t(destination.size / sizeof(float))};
    vk::Binding bindings[] = {vk::Binding::buffer(1, source), vk::Binding::buffer(2, destination)};
    list.dispatch(pipeline, bindings, bytesOf(parameters), {(parameters.count + 63) / 64, 1, 1},
                  std::move(refresh));
}

inline void submitAndWait(const vk::CommandList& list) {
    vk::SubmissionPool pool(insides());
    auto submission = pool.take();
    submission->submit(list);
    vk::GpuTimes times;
    vk::check(submission->wait(times), "Waiting");
}

} // namespace mpsvk::test
