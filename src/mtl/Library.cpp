#include "mtl/Library.hpp"

#include "mtl/Glsl.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <bit>

namespace mpsvk::MTL {

void FunctionConstantValues::set(uint32_t bits, uint64_t index) {
    if (index > UINT32_MAX)
        throw InvalidArgument("[FunctionConstantValues] setConstantValue was given index " +
                              std::to_string(index) + " but the largest is 4294967295.");
    const auto found = std::ranges::find(values_, uint32_t(index), &Value::index);
    if (found != values_.end())
        found->bits = bits;
    else
        values_.push_back({uint32_t(index), bits});
}

void FunctionConstantValues::setConstantValue(bool value, uint64_t index) { set(value, index); }
void FunctionConstantValues::setConstantValue(int32_t value, uint64_t index) {
    set(uint32_t(value), index);
}
void FunctionConstantValues::setConstantValue(uint32_t value, uint64_t index) { set(value, index); }

void FunctionConstantValues::setConstantValue(float value, uint64_t index) {
    set(std::bit_cast<uint32_t>(value), index);
}

Library::Impl::Impl(Device owner, std::vector<uint32_t> words)
    : device(std::move(owner)), code(std::move(words)), reflection(vk::reflect("library", code)) {
    if (reflection.pushConstantBytes != 0 && reflection.pushConstantBytes != 12)
        throw DeviceError("The kernel \"" + reflection.entryPoint +
                          "\" declares push constants of " +
                          std::to_string(reflection.pushConstantBytes) +
                          " bytes but a dispatch has 12 to give, the uvec3 of its grid.");
    for (const uint32_t capability : reflection.capabilities)
        if (const char* const lacked = device.impl().vk->lackedBy(capability))
            throw DeviceError("The kernel \"" + reflection.entryPoint + "\" needs " + lacked +
                              ", with which the device \"" + device.name() + "\" was not opened.");
    for (const auto& binding : reflection.bindings) {
        const bool isTexture = binding.type == VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER ||
                               binding.type == VK_DESCRIPTOR_TYPE_STORAGE_IMAGE;
        if (isTexture != (binding.binding >= 32))
            throw DeviceError(
                "The kernel \"" + reflection.entryPoint + "\" declares " +
                (isTexture ? "a texture" : "a buffer") + " at binding " +
                std::to_string(binding.binding) +
                " but buffers have the bindings 0 to 31 and textures those from 32 on.");
    }
}

Library Device::newLibrary(const std::string& glslSource) const {
    return newLibrary(std::span<const uint32_t>(compileGlsl(glslSource)));
}

Library Device::newLibrary(std::span<const uint32_t> spirv) const {
    impl();
    return Library(std::make_shared<Library::Impl>(*this, std::vector(spirv.begin(), spirv.end())));
}

Library::Library(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

Library::Impl& Library::impl() const {
    if (!impl_) throw InvalidArgument("[Library] The library handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Library::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::string Library::label() const {
    std::lock_guard lock(impl().mutex);
    return impl().label;
}

void Library::setLabel(const std::string& label) const {
    std::lock_guard lock(impl().mutex);
    impl().label = label;
}

Device Library::device() const { return impl().device; }
std::vector<std::string> Library::functionNames() const { return {impl().reflection.entryPoint}; }
Function Library::newFunction(const std::string& name) const { return newFunction(name, {}); }

Function Library::newFunction(const std::string& name,
                              const FunctionConstantValues& constants) const {
    const vk::Reflection& reflection = impl().reflection;
    if (name != reflection.entryPoint)
        throw InvalidArgument(subject("Library", label()) + "newFunction was given \"" + name +
                              "\" but the library's function is \"" + reflection.entryPoint +
                              "\".");
    std::vector<vk::Constant> values;
    for (const auto& value : constants.values()) {
        if (!std::ranges::binary_search(reflection.constantIds, value.index))
            throw InvalidArgument(
                subject("Library", label()) + "newFunction was given a constant " +
                std::to_string(value.index) + " that \"" + name + "\" does not have.");
        values.push_back({value.index, value.bits});
    }
    return Function(
        std::make_shared<Function::Impl>(std::static_pointer_cast<Impl>(impl_), std::move(values)));
}

Function::Function(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

Function::Impl& Function::impl() const {
    if (!impl_) throw InvalidArgument("[Function] The function handle is empty.");
    return static_cast<Impl&>(*impl_);
}

bool Function::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::string Function::name() const { return impl().library->reflection.entryPoint; }

std::string Function::label() const {
    std::lock_guard lock(impl().mutex);
    return impl().label;
}

void Function::setLabel(const std::string& label) const {
    std::lock_guard lock(impl().mutex);
    impl().label = label;
}

Device Function::device() const { return impl().library->device; }

} // namespace mpsvk::MTL
