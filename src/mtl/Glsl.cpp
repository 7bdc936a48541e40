#include "mtl/Glsl.hpp"

#include <mpsvk/Error.hpp>

#ifdef MPSVK_GLSL
#include <glslang/Include/glslang_c_interface.h>
#include <glslang/Public/resource_limits_c.h>

#include <memory>
#include <mutex>
#endif

namespace mpsvk::MTL {

#ifdef MPSVK_GLSL

namespace {

std::string trimmed(const char* text) {
    std::string result = text ? text : "";
    while (!result.empty() && (result.back() == '\n' || result.back() == ' ')) result.pop_back();
    return result;
}

} // namespace

std::vector<uint32_t> compileGlsl(const std::string& source) {
    static std::once_flag once;
    std::call_once(once, [] { glslang_initialize_process(); });
    glslang_input_t input{};
    input.language = GLSLANG_SOURCE_GLSL;
    input.stage = GLSLANG_STAGE_COMPUTE;
    input.client = GLSLANG_CLIENT_VULKAN;
    input.client_version = GLSLANG_TARGET_VULKAN_1_1;
    input.target_language = GLSLANG_TARGET_SPV;
    input.target_language_version = GLSLANG_TARGET_SPV_1_3;
    input.code = source.c_str();
    input.default_version = 450;
    input.default_profile = GLSLANG_NO_PROFILE;
    input.messages = glslang_messages_t(GLSLANG_MSG_SPV_RULES_BIT | GLSLANG_MSG_VULKAN_RULES_BIT);
    input.resource = glslang_default_resource();

    const std::unique_ptr<glslang_shader_t, decltype(&glslang_shader_delete)> shader(
        glslang_shader_create(&input), glslang_shader_delete);
    const auto refuse = [](const char* log) {
        throw DeviceError("Compiling the GLSL source failed: " + trimmed(log));
    };
    if (!shader || !glslang_shader_preprocess(shader.get(), &input) ||
        !glslang_shader_parse(shader.get(), &input))
        refuse(shader ? glslang_shader_get_info_log(shader.get()) : "");
    const std::unique_ptr<glslang_program_t, decltype(&glslang_program_delete)> program(
        glslang_program_create(), glslang_program_delete);
    glslang_program_add_shader(program.get(), shader.get());
    if (!glslang_program_link(program.get(),
                              GLSLANG_MSG_SPV_RULES_BIT | GLSLANG_MSG_VULKAN_RULES_BIT))
        refuse(glslang_program_get_info_log(program.get()));
    glslang_program_SPIRV_generate(program.get(), GLSLANG_STAGE_COMPUTE);
    std::vector<uint32_t> code(glslang_program_SPIRV_get_size(program.get()));
    glslang_program_SPIRV_get(program.get(), code.data());
    if (code.empty()) refuse(glslang_program_SPIRV_get_messages(program.get()));
    return code;
}

#else

std::vector<uint32_t> compileGlsl(const std::string&) {
    throw DeviceError("This library was built without a GLSL compiler; give SPIR-V to newLibrary "
                      "(glslang -V makes it), or build with glslang's library installed.");
}

#endif

} // namespace mpsvk::MTL
