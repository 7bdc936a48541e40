// What the options of a kernel add to its encodes.
#include "mtl/CommandBuffer.hpp"
#include "support/Matrices.hpp"
#include "support/Sentence.hpp"

#include <mpsvk/mpsvk.hpp>

#include <catch2/catch_test_macros.hpp>

using namespace mpsvk;
using namespace mpsvk::test;

namespace {

/// Names of the groups that were pushed, "dispatch" and "pop", in order.
std::vector<std::string> recorded(const MTL::CommandBuffer& commands) {
    const vk::CommandList& list = commands.impl().list({});
    std::vector<std::string> all;
    for (const auto& command : list.commands()) {
        if (command.kind == vk::CommandList::Kind::Dispatch) all.push_back("dispatch");
        if (command.kind != vk::CommandList::Kind::Label) continue;
        const auto bytes = list.bytes(command.push, command.pushBytes);
        const bool isPush =
            vk::CommandList::LabelKind(command.groups[0]) == vk::CommandList::LabelKind::Push;
        all.push_back(isPush
                          ? std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())
                          : "pop");
    }
    return all;
}

MPS::Image image() {
    return {testDevice(), MPS::ImageDescriptor(MPS::ImageFeatureChannelFormat::Float32, 2, 2, 1)};
}

} // namespace

TEST_CASE("a kernel's debug group has its label's name, else its class's") {
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
    MPS::MatrixMultiplication product(testDevice(), 2, 2, 2);
    const auto a = matrixOf(Values(4), 2, 2), b = matrixOf(Values(4), 2, 2),
               c = matrixOf(Values(4), 2, 2);
    const MPS::Image x = image(), y = image();
    MPS::CommandBuffer commands(testQueue());

    neuron.encode(commands, x, y);
    CHECK(recorded(commands) == std::vector<std::string>{"dispatch"});
    commands.commitAndContinue();

    neuron.setOptions(MPS::KernelOptions::InsertDebugGroups);
    product.setOptions(MPS::KernelOptions::InsertDebugGroups);
    product.setLabel("scores");
    neuron.encode(commands, x, y);
    product.encode(commands, a, b, c);
    // What is refused leaves no group behind.
    CHECK_THROWS_AS(product.encode(commands, a, b, a), InvalidArgument);
    CHECK_THROWS_AS(neuron.encode(commands, x, x), InvalidArgument);
    CHECK(recorded(commands) ==
          std::vector<std::string>{"CNNNeuron", "dispatch", "pop", "scores", "dispatch", "pop"});
    commands.commit();
    commands.waitUntilCompleted();
    CHECK_FALSE(commands.error());
}

TEST_CASE("a verbose kernel says in a line what is encoded") {
    MPS::CNNNeuron neuron(testDevice(), MPS::NNNeuronDescriptor(MPS::CNNNeuronType::ReLU));
    neuron.setLabel("n");
    const MPS::Image x = image(), y = image();
    const MTL::CommandBuffer commands = testQueue().commandBuffer();
    commands.setLabel("step");
    Remarks remarks;
    neuron.setOptions(MPS::KernelOptions::None);
    neuron.encode(commands, x, y);
    CHECK(remarks.all().empty());
    neuron.setOptions(MPS::KernelOptions::Verbose);
    neuron.encode(commands, x, y);
    CHECK(remarks.all() ==
          std::vector<std::pair<LogLevel, std::string>>{
              {LogLevel::Info, "[CNNNeuron \"n\"] is encoded into [CommandBuffer \"step\"]."}});
    CHECK(recorded(commands) == std::vector<std::string>{"dispatch", "dispatch"});
}
