#include "vk/Pipeline.hpp"

#include "vk/Device.hpp"
#include "vk/Lent.hpp"
#include "vk/PipelineCacheFile.hpp"
#include "vk/PipelineStatistics.hpp"
#include "vk/Shaders.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>

namespace mpsvk::vk {

Pipeline::Pipeline(Device& device, std::string name, std::span<const uint32_t> code,
                   std::vector<Constant> constants)
    : device_(device), name_(std::move(name)), constants_(std::move(constants)),
      reflection_(reflect(name_, code, constants_)) {
    checkLimits();
    std::vector<VkDescriptorSetLayoutBinding> bindings;
    for (const ReflectedBinding& b : reflection_.bindings)
        bindings.push_back({b.binding, b.type, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr});
    VkDescriptorSetLayoutCreateInfo setInfo{VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO};
    if (device.features().pushDescriptor)
        setInfo.flags = VK_DESCRIPTOR_SET_LAYOUT_CREATE_PUSH_DESCRIPTOR_BIT_KHR;
    setInfo.bindingCount = uint32_t(bindings.size());
    setInfo.pBindings = bindings.data();
    check(vkCreateDescriptorSetLayout(device.handle(), &setInfo, nullptr, &setLayout_),
          "vkCreateDescriptorSetLayout for \"" + name_ + "\"");
    const VkPushConstantRange push{VK_SHADER_STAGE_COMPUTE_BIT, 0, reflection_.pushConstantBytes};
    VkPipelineLayoutCreateInfo layoutInfo{VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
    layoutInfo.setLayoutCount = 1;
    layoutInfo.pSetLayouts = &setLayout_;
    layoutInfo.pushConstantRangeCount = push.size ? 1 : 0;
    layoutInfo.pPushConstantRanges = &push;
    check(vkCreatePipelineLayout(device.handle(), &layoutInfo, nullptr, &layout_),
          "vkCreatePipelineLayout for \"" + name_ + "\"");
}

void Pipeline::checkLimits() const {
    const auto& size = reflection_.localSize;
    const Limits& limits = device_.limits();
    const auto atMost = [&](uint64_t wanted, uint64_t limit, const char* of) {
        if (wanted > limit)
            throw DeviceError("The shader \"" + name_ + "\" wants " + std::to_string(wanted) + of +
                              " but the device's limit is " + std::to_string(limit) + ".");
    };
    for (int i = 0; i < 3; ++i)
        atMost(size[i], device_.properties().limits.maxComputeWorkGroupSize[i],
               " invocations in a row of a workgroup");
    atMost(uint64_t(size[0]) * size[1] * size[2], limits.workGroupInvocations,
           " invocations in a workgroup");
    atMost(reflection_.sharedBytes, limits.sharedMemoryBytes, " bytes of shared memory");
    atMost(reflection_.pushConstantBytes, device_.properties().limits.maxPushConstantsSize,
           " bytes of push constants");
    if (device_.features().pushDescriptor)
        atMost(reflection_.bindings.size(), limits.pushDescriptors, " bindings");
}

Pipeline::~Pipeline() {
    if (compiled_.valid()) {
        try {
            vkDestroyPipeline(device_.handle(), compiled_.get(), nullptr);
        } catch (const DeviceError&) {
            // it never came to be
        }
    }
    vkDestroyPipelineLayout(device_.handle(), layout_, nullptr);
    vkDestroyDescriptorSetLayout(device_.handle(), setLayout_, nullptr);
}

std::span<const std::string_view> productKernels() {
    // Those of groups and of few channels are held up by memory.
    static constexpr std::string_view names[] = {
        "CNNConvolution",
        "CNNConvolutionBfloat16",
        "CNNConvolutionBlocks",
        "CNNConvolutionCooperative",
        "CNNConvolutionGradientData",
        "CNNConvolutionGradientDataBfloat16",
        "CNNConvolutionGradientDataBlocks",
        "CNNConvolutionGradientDataCooperative",
        "CNNConvolutionGradientDataSubgroup",
        "CNNConvolutionGradientWeights",
        "CNNConvolutionGradientWeightsBfloat16",
        "CNNConvolutionGradientWeightsBlocks",
        "CNNConvolutionGradientWeightsCooperative",
        "CNNConvolutionGradientWeightsSubgroup",
        "CNNConvolutionSubgroup",
        "CNNConvolutionThinGradientWeights",
        "CNNConvolutionWinogradRows",
        "CNNConvolutionWinogradRowsGradientWeights",
        "MatrixMultiplication",
        "MatrixMultiplicationBfloat16",
        "MatrixMultiplicationCooperative",
        "MatrixMultiplicationDirect",
        "MatrixMultiplicationDirectSubgroup",
        "MatrixMultiplicationLow",
        "MatrixMultiplicationSmall",
        "MatrixMultiplicationTall",
    };
    return names;
}

Work workOf(std::string_view kernel) {
    if (kernel.starts_with("NNOptimizer") || kernel.starts_with("CNNConvolutionPack"))
        return Work::Update;
    const auto products = productKernels();
    return std::ranges::find(products, kernel) != products.end() ? Work::Product : Work::Any;
}

VkPipeline Pipeline::compile(VkPipelineCache cache, std::span<const uint32_t> code) {
    VkShaderModuleCreateInfo moduleInfo{VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
    moduleInfo.codeSize = code.size_bytes();
    moduleInfo.pCode = code.data();
    VkShaderModule module = VK_NULL_HANDLE;
    check(vkCreateShaderModule(device_.handle(), &moduleInfo, nullptr, &module),
          "vkCreateShaderModule for \"" + name_ + "\"");
    std::vector<VkSpecializationMapEntry> entries;
    for (uint32_t i = 0; i < constants_.size(); ++i)
        entries.push_back({constants_[i].id, uint32_t(i * sizeof(Constant) + sizeof(uint32_t)),
                           sizeof(uint32_t)});
    VkSpecializationInfo special{uint32_t(entries.size()), entries.data(),
                                 constants_.size() * sizeof(Constant), constants_.data()};
    VkComputePipelineCreateInfo info{VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
    info.stage = {VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO};
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = module;
    info.stage.pName = reflection_.entryPoint.c_str();
    info.stage.pSpecializationInfo = &special;
    info.layout = layout_;
    if (hasStatistics_) info.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
    VkPipeline made = VK_NULL_HANDLE;
    const VkResult result =
        vkCreateComputePipelines(device_.handle(), cache, 1, &info, nullptr, &made);
    vkDestroyShaderModule(device_.handle(), module, nullptr);
    check(result, "Compiling the shader \"" + name_ + "\"");
    if (hasStatistics_) spills_ = tellSpills(statisticsOf(device_.handle(), made));
    return made;
}

PipelineLibrary::PipelineLibrary(Device& device) : device_(device) {
    cachePath_ = pipelineCachePath(device.properties());
    const auto stored = loadPipelineCache(cachePath_, device.properties());
    VkPipelineCacheCreateInfo info{VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    info.initialDataSize = stored.size();
    info.pInitialData = stored.data();
    check(vkCreatePipelineCache(device.handle(), &info, nullptr, &cache_), "vkCreatePipelineCache");
}

PipelineLibrary::~PipelineLibrary() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    pipelines_.clear();
    failed_.clear();
    if (compiledSinceSave_ > 0) {
        size_t size = 0;
        vkGetPipelineCacheData(device_.handle(), cache_, &size, nullptr);
        std::vector<std::byte> data(size);
        if (vkGetPipelineCacheData(device_.handle(), cache_, &size, data.data()) == VK_SUCCESS) {
            data.resize(size);
            savePipelineCache(cachePath_, device_.properties(), data);
        }
    }
    vkDestroyPipelineCache(device_.handle(), cache_, nullptr);
}

void PipelineLibrary::compileLater(Pipeline& pipeline, std::span<const uint32_t> code) {
    std::packaged_task<VkPipeline()> job(
        [&pipeline, cache = cache_, code = std::vector(code.begin(), code.end())] {
            try {
                return pipeline.compile(cache, code);
            } catch (...) {
                pipeline.failed_ = true;
                throw;
            }
        });
    pipeline.compiled_ = job.get_future().share();
    jobs_.push_back(std::move(job));
    ++compiledSinceSave_;
    const size_t most = std::max(1u, std::thread::hardware_concurrency());
    if (workers_.size() < most && workers_.size() < jobs_.size())
        workers_.emplace_back([this] { work(); });
    wake_.notify_one();
}

void PipelineLibrary::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
        if (jobs_.empty()) return;
        auto job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job();
        lock.lock();
    }
}

size_t PipelineLibrary::Hash::of(const KeyView& key) {
    uint64_t hash = std::hash<std::string_view>()(key.shader) + key.textures;
    for (const Constant& constant : key.constants)
        hash = (hash ^ constant.id ^ uint64_t(constant.value) << 32) * 0x9e3779b97f4a7c15;
    return size_t(hash ^ hash >> 32);
}

bool PipelineLibrary::Equal::are(const KeyView& a, const KeyView& b) {
    return a.shader == b.shader && a.textures == b.textures &&
           std::ranges::equal(a.constants, b.constants);
}

std::shared_ptr<Pipeline> PipelineLibrary::find(std::string_view shader, bool textures,
                                                std::span<const Constant> constants,
                                                bool statistics) {
    std::lock_guard lock(mutex_);
    const auto found = pipelines_.find(KeyView{shader, textures, constants});
    if (found != pipelines_.end()) {
        if (!found->second->failed_) return lent(found->second.get());
        failed_.push_back(std::move(found->second));
        pipelines_.erase(found);
    }
    const auto all = shaders();
    Key key{std::string(shader), textures, {constants.begin(), constants.end()}};
    const auto source = std::ranges::find(all, shader, &Shader::name);
    if (source == all.end()) throw DeviceError("No shader is named \"" + key.shader + "\".");
    const auto code = textures ? source->texturesCode : source->code;
    auto made = std::make_unique<Pipeline>(device_, key.shader, code, key.constants);
    made->isKernel_ = true;
    made->work_ = workOf(shader);
    made->hasStatistics_ = statistics && device_.features().pipelineStatistics;
    compileLater(*made, code);
    return lent(pipelines_.emplace(std::move(key), std::move(made)).first->second.get());
}

std::shared_ptr<Pipeline> PipelineLibrary::make(std::string name, std::vector<uint32_t> code,
                                                std::vector<Constant> constants) {
    auto pipeline =
        std::make_shared<Pipeline>(device_, std::move(name), code, std::move(constants));
    std::lock_guard lock(mutex_);
    compileLater(*pipeline, code);
    return pipeline;
}

} // namespace mpsvk::vk
