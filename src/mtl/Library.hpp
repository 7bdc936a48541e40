// The objects behind MTL::Library, Function and ComputePipelineState.
#pragma once

#include "mtl/Device.hpp"
#include "vk/Pipeline.hpp"

#include <mpsvk/MTL/ComputePipeline.hpp>
#include <mpsvk/MTL/Library.hpp>

#include <array>
#include <map>
#include <mutex>
#include <vector>

namespace mpsvk::MTL {

struct Library::Impl : detail::ObjectImpl {
    Impl(Device device, std::vector<uint32_t> code);
    const Device device;
    const std::vector<uint32_t> code;
    const vk::Reflection reflection;
    std::mutex mutex;
    std::string label;
};

struct Function::Impl : detail::ObjectImpl {
    Impl(std::shared_ptr<Library::Impl> library, std::vector<vk::Constant> constants)
        : library(std::move(library)), constants(std::move(constants)) {}
    const std::shared_ptr<Library::Impl> library;
    const std::vector<vk::Constant> constants;
    std::mutex mutex;
    std::string label;
};

struct ComputePipelineState::Impl : detail::ObjectImpl {
    Impl(Device device, const Function& function);

    /// The pipeline for threadgroups of `threads`; throws InvalidArgument, opened by `who`, when
    /// the kernel or the device has no such threadgroups.
    std::shared_ptr<vk::Pipeline> pipeline(Size threads, const std::string& who);

    const Device device;
    const std::shared_ptr<Function::Impl> function;
    const std::string label;
    const vk::Reflection reflection; ///< with the function's constants

private:
    std::mutex mutex_;
    std::map<std::array<uint32_t, 3>, std::shared_ptr<vk::Pipeline>> variants_;
};

} // namespace mpsvk::MTL
