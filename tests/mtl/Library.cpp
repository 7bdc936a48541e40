// Libraries of GLSL and SPIR-V, functions and their constants, pipelines.
#include "Rig.hpp"

#include "mtl/Glsl.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cmath>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

/// False when the library was built without a GLSL compiler.
bool compilesGlsl() {
    try {
        MTL::compileGlsl("#version 450\nlayout(local_size_x = 1) in;\nvoid main() {}\n");
        return true;
    } catch (const DeviceError& error) {
        CHECK(std::string(error.what())
                  .starts_with("This library was built without a GLSL compiler"));
        return false;
    }
}

MTL::Library glsl(const std::string& declarations, const std::string& body = "") {
    return testDevice().newLibrary("#version 450\nlayout(local_size_x = 4) in;\n" + declarations +
                                   "\nvoid main() {" + body + "}\n");
}

} // namespace

TEST_CASE("SPIR-V becomes a kernel", "[Library]") {
    const MTL::Library library = testDevice().newLibrary(addKernel());
    library.setLabel("vectors");
    CHECK(library.label() == "vectors");
    CHECK(library.device() == testDevice());
    CHECK(library.functionNames() == std::vector<std::string>{"main"});
    const MTL::Function function = library.newFunction("main");
    CHECK(function.name() == "main");
    CHECK(function.device() == testDevice());
    function.setLabel("add");
    const auto pipeline = testDevice().newComputePipelineState(function);
    CHECK(pipeline.label() == "add");
    CHECK(pipeline.device() == testDevice());
    CHECK(pipeline.requiredThreadsPerThreadgroup() == MTL::Size{64, 1, 1});
    CHECK(pipeline.maxTotalThreadsPerThreadgroup() == 64);
    CHECK(pipeline.staticThreadgroupMemoryLength() == 0);
    CHECK(pipeline.threadExecutionWidth() == testDevice().impl().vk->limits().subgroupSize);
    CHECK(pipeline.threadExecutionWidth() >= 1);
}

TEST_CASE("GLSL becomes a kernel", "[Library]") {
    if (!compilesGlsl()) SKIP("built without a GLSL compiler");
    const MTL::Library library = glsl("layout(constant_id = 7) const bool twice = false;\n"
                                      "layout(constant_id = 8) const int offset = 1;\n"
                                      "layout(binding = 3) buffer D { float d[]; };",
                                      "uint i = gl_GlobalInvocationID.x;"
                                      "d[i] = d[i] * (twice ? 2 : 1) + offset;");
    const auto runs = [&](const MTL::FunctionConstantValues& constants) {
        const MTL::Buffer data = bufferOf({1, 2, 3, 4});
        const MTL::CommandBuffer commands = testQueue().commandBuffer();
        const auto encoder = commands.computeCommandEncoder();
        encoder.setComputePipelineState(
            testDevice().newComputePipelineState(library.newFunction("main", constants)));
        encoder.setBuffer(data, 0, 3);
        encoder.dispatchThreadgroups({1, 1, 1}, {4, 1, 1});
        encoder.endEncoding();
        finish(commands);
        return valuesOf(data);
    };
    MTL::FunctionConstantValues constants;
    CHECK(runs(constants) == std::vector<float>{2, 3, 4, 5});
    constants.setConstantValue(true, 7);
    constants.setConstantValue(5, 8);
    constants.setConstantValue(-1, 8); // the last one counts
    CHECK(constants.values().size() == 2);
    CHECK(runs(constants) == std::vector<float>{1, 3, 5, 7});
    constants.reset();
    CHECK(runs(constants) == std::vector<float>{2, 3, 4, 5});
}

TEST_CASE("GLSL that does not compile is refused with the compiler's words", "[Library]") {
    if (!compilesGlsl()) SKIP("built without a GLSL compiler");
    const auto text = sentence<DeviceError>([] { glsl("", "nonsense = 1;"); });
    CHECK(text.starts_with("Compiling the GLSL source failed: "));
    CHECK(text.find("'nonsense' : undeclared identifier") != std::string::npos);
    CHECK(text.back() != '\n');
    CHECK(sentence<DeviceError>([] {
              testDevice().newLibrary(std::string("#version 450\n"));
          }).starts_with("Compiling the GLSL source failed: "));
}

TEST_CASE("Kernels that do not follow the binding rule are refused", "[Library]") {
    if (!compilesGlsl()) SKIP("built without a GLSL compiler");
    CHECK(sentence<DeviceError>([] {
              glsl("layout(binding = 32) buffer D { float d[]; };", "d[0] = 1;");
          }) == "The kernel \"main\" declares a buffer at binding 32 but buffers have the bindings "
                "0 to 31 and "
                "textures those from 32 on.");
    CHECK(
        sentence<DeviceError>([] {
            glsl("layout(binding = 3, r32f) uniform image2DArray i;",
                 "imageStore(i, ivec3(0), vec4(0));");
        }) ==
        "The kernel \"main\" declares a texture at binding 3 but buffers have the bindings 0 to 31 "
        "and textures those from 32 on.");
    CHECK(sentence<DeviceError>([] {
              glsl("layout(push_constant) uniform P { vec4 v; };"
                   "layout(binding = 0) buffer D { float d[]; };",
                   "d[0] = v.x;");
          }) == "The kernel \"main\" declares push constants of 16 bytes but a dispatch has 12 to "
                "give, the "
                "uvec3 of its grid.");
    CHECK(sentence<DeviceError>([] {
              glsl("layout(set = 1, binding = 0) buffer D { float d[]; };", "d[0] = 1;");
          }) == "The shader \"library\" uses a descriptor set other than 0.");
}

TEST_CASE("Kernels compute with numbers that the device was opened with", "[Library]") {
    if (!compilesGlsl()) SKIP("built without a GLSL compiler");
    const auto make = [](const std::string& bits, const std::string& type) {
        glsl("#extension GL_EXT_shader_explicit_arithmetic_types_int" + bits +
                 " : require\nlayout(binding = 0) buffer D { float d[]; };",
             type + " x = " + type + "(d[0]); x *= x; d[0] = float(x);");
    };
    const auto check = [&](bool has, const std::string& bits) {
        const std::string type = "int" + bits + "_t";
        if (has)
            CHECK_NOTHROW(make(bits, type));
        else
            CHECK(sentence<DeviceError>([&] { make(bits, type); }) ==
                  "The kernel \"main\" needs " + bits + "-bit integers, with which the device \"" +
                      testDevice().name() + "\" was not opened.");
    };
    VkPhysicalDeviceFeatures has;
    vkGetPhysicalDeviceFeatures(testDevice().impl().vk->physicalDevice(), &has);
    check(false, "8");
    check(has.shaderInt16, "16");
    check(has.shaderInt64, "64");
    if (!has.shaderFloat64) return;
    const MTL::Buffer data = bufferOf({1});
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    const auto encoder = commands.computeCommandEncoder();
    const auto library =
        glsl("layout(binding = 0) buffer D { float d[]; };",
             "double one = double(d[0]), more = one + 1e-10lf;"
             "if (gl_GlobalInvocationID.x == 0) d[0] = float((more - one) * 1e10lf);");
    encoder.setComputePipelineState(
        testDevice().newComputePipelineState(library.newFunction("main")));
    encoder.setBuffer(data, 0, 0);
    encoder.dispatchThreadgroups({1, 1, 1}, {4, 1, 1});
    encoder.endEncoding();
    finish(commands);
    CHECK(std::abs(valuesOf(data)[0] - 1) < 1e-6); // in 32 bits 0
}

TEST_CASE("Kernels of textures that are no 2D arrays are refused", "[Library]") {
    if (!compilesGlsl()) SKIP("built without a GLSL compiler");
    const std::string refused = "The shader \"library\" declares an image that is no 2D array.";
    CHECK(sentence<DeviceError>([] {
              glsl("layout(binding = 32, r32f) uniform image2D i;",
                   "imageStore(i, ivec2(0), vec4(0));");
          }) == refused);
    CHECK(sentence<DeviceError>([] {
              glsl("layout(binding = 32) uniform sampler2D s;"
                   "layout(binding = 0) buffer D { float d[]; };",
                   "d[0] = texelFetch(s, ivec2(0), 0).x;");
          }) == refused);
}

TEST_CASE("What libraries refuse", "[Library]") {
    const uint32_t words[] = {1, 2, 3};
    CHECK(sentence<DeviceError>([&] {
              testDevice().newLibrary(std::span<const uint32_t>(words));
          }) == "The shader \"library\" is not SPIR-V.");
    const MTL::Library library = testDevice().newLibrary(scaleKernel());
    library.setLabel("scales");
    CHECK(sentence<InvalidArgument>([&] { library.newFunction("scale"); }) ==
          "[Library \"scales\"] newFunction was given \"scale\" but the library's function is "
          "\"main\".");
    MTL::FunctionConstantValues constants;
    constants.setConstantValue(1u, 9);
    CHECK(sentence<InvalidArgument>([&] { library.newFunction("main", constants); }) ==
          "[Library \"scales\"] newFunction was given a constant 9 that \"main\" does not have.");
    CHECK(sentence<InvalidArgument>([&] { constants.setConstantValue(1u, uint64_t(1) << 32); }) ==
          "[FunctionConstantValues] setConstantValue was given index 4294967296 but the largest is "
          "4294967295.");
    constants.reset();
    constants.setConstantValue(64u, 0);
    CHECK(sentence<InvalidArgument>([&] { pipelineOf(scaleKernel(), constants); }) ==
          "[Function] The constant 0 is the kernel's local_size: it is given by the dispatch, not "
          "as a "
          "function constant.");
    CHECK(sentence<InvalidArgument>([] { testDevice().newComputePipelineState({}); }) ==
          "[Function] The function handle is empty.");
}
