// The table of cases: what is read, what is refused, how much work a case is.
#include "CaseTable.hpp"

#include <mpsvk/Error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <set>

using namespace mpsvk;
using namespace mpsvk::bench;
using Catch::Matchers::ContainsSubstring;

namespace {

std::vector<Case> shipped() { return loadCases(MPSVK_DATA_DIRECTORY "/bench/cases.json"); }

Case find(const std::string& name, const std::string& pass, const std::string& mode) {
    for (const Case& one : shipped()) {
        if (one.name == name && one.pass == pass && one.mode == mode) return one;
    }
    FAIL(name << " " << pass << " " << mode << " is not in the table");
    return {};
}

std::string refusal(const std::string& json) {
    try {
        parseCases(json);
    } catch (const FormatError& error) {
        return error.what();
    }
    return "";
}

} // namespace

TEST_CASE("the shipped table has every case once per pass and mode, copies first") {
    const auto all = shipped();
    REQUIRE(all.size() > 90);
    CHECK(all.front().group == Group::Copy);
    CHECK(all.back().group == Group::TrainingStep);
    std::set<std::string> seen;
    for (const Case& one : all) CHECK(seen.insert(one.name + one.pass + one.mode).second);
}

TEST_CASE("a case reads its numbers and has defaults for the others") {
    const Case strided = find("conv7x7s2_3_64_224", "forward", "fp16");
    CHECK(strided.n == 64);
    CHECK(strided.ci == 3);
    CHECK(strided.co == 64);
    CHECK(strided.groups == 1);
    CHECK(strided.outputWidth() == 112);
    CHECK(strided.elementBytes() == 2);
    const Case dilated = find("conv3x3d2_256_28", "forward", "fp32");
    CHECK(dilated.dilation == 2);
    CHECK(dilated.outputHeight() == 28);
    const Case neuron = find("relu_gradient", "gradient", "fp32");
    CHECK(neuron.ci == 64);
    CHECK(neuron.co == 64);
    CHECK(find("train_lenet_b128", "step", "fp16").n == 128);
}

TEST_CASE("the default set leaves the CPU's own cases to CPUs, a name finds them anywhere") {
    const auto all = shipped();
    const auto small = [](const std::vector<Case>& cases) {
        size_t count = 0;
        for (const Case& one : cases) count += one.name == "conv3x3_64_28_b8" ? 1 : 0;
        return count;
    };
    CHECK(small(selected(all, "", true)) == 3);
    CHECK(small(selected(all, "", false)) == 0);
    CHECK(selected(all, "", true).size() == all.size());
    CHECK(selected(all, "conv3x3_64_28_b8", false).size() == 3);
    CHECK(selected(all, "nothing is called so", true).empty());
}

TEST_CASE("in reduced precision there are products, and copies as they are") {
    const auto products = reduced(shipped());
    CHECK(products.size() > 20);
    for (const Case& one : products)
        CHECK((one.mode == "fp32_reduced") == (one.group != Group::Copy));
}

TEST_CASE("a scale divides batches and parameters and leaves at least one") {
    CHECK(scaled(find("relu_gradient", "gradient", "fp32"), 16).n == 4);
    CHECK(scaled(find("relu_gradient", "gradient", "fp32"), 1000).n == 1);
    CHECK(scaled(find("adam_update", "update", "fp32"), 10).parameters == 2500000);
    CHECK(scaled(find("relu_gradient", "gradient", "fp32"), 16).parameters == 0);
    CHECK(scaled(find("conv3x3_64_28_b8", "forward", "fp32"), 64).n == 8);
}

TEST_CASE("a scale makes large pictures of training steps smaller, by its root") {
    const Case network = find("train_resnet50_b64", "step", "fp16");
    CHECK(network.network == "resnet50");
    CHECK(network.n == 64);
    CHECK(network.ci == 3);
    CHECK(scaled(network, 1).h == 224);
    CHECK(scaled(network, 4).n == 16);
    CHECK(scaled(network, 4).h == 112);
    CHECK(scaled(network, 4).w == 112);
    CHECK(scaled(network, 64).h == 32);
    CHECK(scaled(find("train_lenet_b128", "step", "fp32"), 64).h == 28);
    CHECK(scaled(find("relu_gradient", "gradient", "fp32"), 64).h == 112);
}

TEST_CASE("a transposed convolution makes its source larger") {
    const Case up = find("transpose4x4s2_256_128_16", "forward", "fp32");
    CHECK(up.outputWidth() == 32);
    CHECK(workOf(up).flops == 2.0 * 64 * 16 * 16 * 256 * 128 * 16);
    CHECK(workOf(up).bytes == 4.0 * (64 * 16 * 16 * 256 + 64 * 32 * 32 * 128 + 256 * 128 * 16));
    CHECK(find("transpose2x2s2_128_64_64", "data_gradient", "fp16").outputHeight() == 128);
}

TEST_CASE("flops and bytes") {
    const Work conv = workOf(find("conv3x3_64_56", "forward", "fp32"));
    CHECK(conv.flops == 2.0 * 64 * 56 * 56 * 64 * 64 * 9);
    CHECK(conv.bytes == 4.0 * (2.0 * 64 * 56 * 56 * 64 + 64 * 64 * 9));
    const Work weights = workOf(find("conv3x3_64_56", "weights_gradient", "fp16"));
    CHECK(weights.flops == conv.flops);
    CHECK(weights.bytes == 2.0 * 2 * 64 * 56 * 56 * 64 + 4.0 * 64 * 64 * 9);
    const Work depthwise = workOf(find("depthwise3x3s2_144_56", "forward", "fp32"));
    CHECK(depthwise.flops == 2.0 * 64 * 28 * 28 * 144 * 9);
    CHECK(workOf(find("fully_connected_gradient_data", "data_gradient", "fp32")).flops ==
          2.0 * 256 * 4096 * 4096);
    const Work gram = workOf(find("gram_forward", "forward", "fp16"));
    CHECK(gram.flops == 2.0 * 64 * 56 * 56 * 256 * 256);
    CHECK(gram.bytes == 2.0 * 64 * 256 * (56 * 56 + 256));
    CHECK(workOf(find("gram_gradient", "gradient", "fp32")).bytes ==
          4.0 * 64 * 256 * (2 * 56 * 56 + 256));

    const double elements = 64.0 * 64 * 112 * 112;
    CHECK(workOf(find("gelu_gradient", "gradient", "fp16")).bytes == 3 * 2 * elements);
    CHECK(workOf(find("pooling_max3s2_gradient", "gradient", "fp32")).bytes ==
          4 * elements * 1.25 + elements / 4);
    CHECK(workOf(find("pooling_average3s2_gradient", "gradient", "fp32")).bytes ==
          4 * elements * 1.25);
    CHECK(workOf(find("dropout_gradient", "gradient", "fp32")).bytes == 9 * elements);
    CHECK(workOf(find("add_gradient_broadcast", "gradient", "fp32")).bytes ==
          4 * (elements + 64 * 64));
    CHECK(workOf(find("softmax_channels_gradient", "gradient", "fp16")).bytes ==
          3.0 * 2 * 64 * 1000 * 32 * 32);
    CHECK(workOf(find("matrix_softmax", "forward", "fp16")).bytes == 2.0 * 2 * 65536 * 1000);
    CHECK(workOf(find("matrix_logsoftmax_gradient", "gradient", "fp32")).bytes ==
          3.0 * 4 * 65536 * 1000);
    CHECK(workOf(find("adam_update", "update", "fp32")).bytes == 7 * 4 * 25e6);
    CHECK(workOf(find("sgd_momentum_update", "update", "fp32")).bytes == 5 * 4 * 25e6);
    CHECK(workOf(find("copy_1GiB", "blit", "fp32")).bytes == 2.0 * (1 << 30));
    CHECK(workOf(find("train_lenet_b128", "step", "fp32")).flops == 0);
}

TEST_CASE("a table that makes no sense is refused") {
    const auto conv = [](const std::string& entry, const std::string& mode = "fp32") {
        return R"({"convolution": {"modes": [")" + mode +
               R"("], "passes": ["forward"], "cases": [)" + entry + "]}}";
    };
    CHECK(parseCases(conv(R"({"name": "a", "h": 4, "w": 4, "k": 3})")).size() == 1);
    CHECK_THAT(refusal("{"), ContainsSubstring("cannot be read"));
    CHECK_THAT(refusal(R"({"magic": {}})"), ContainsSubstring("unknown group magic"));
    CHECK_THAT(refusal(conv(R"({"h": 4})")), ContainsSubstring("cannot be read"));
    CHECK_THAT(refusal(conv(R"({"name": "a", "n": -1})")), ContainsSubstring("n is not a whole"));
    CHECK_THAT(refusal(conv(R"({"name": "a", "stride": 0})")), ContainsSubstring("a size is 0"));
    CHECK_THAT(refusal(conv(R"({"name": "a", "k": 3})")), ContainsSubstring("window is larger"));
    CHECK_THAT(refusal(conv(R"({"name": "a", "ci": 6, "co": 4, "groups": 4})")),
               ContainsSubstring("groups do not divide"));
    CHECK_THAT(refusal(conv(R"({"name": "a"})", "fp8")),
               ContainsSubstring("neither fp32 nor fp16"));
    CHECK_THROWS_AS(loadCases("there is no such file"), FormatError);
}
