// A compiled graph as its nodes: what a copy and an archive make a graph from again.
#pragma once

#include "mps/NNGraphNodes.hpp"

namespace mpsvk::mps {

struct GraphNodes {
    std::vector<std::shared_ptr<MPS::NNFilterNode::Impl>> filters; ///< producers before readers
    std::vector<MPS::NNImageNode> inputImages, results;
    std::vector<MPS::NNStateNode> inputStates;
    std::vector<bool> resultsNeeded;
};

/// The handle that stands for one archived by its label.
class LabelHandle : public MPS::Handle, public MPS::SecureCoding {
public:
    explicit LabelHandle(std::string label) : label_(std::move(label)) {}
    std::string label() const override { return label_; }
    std::string className() const override { return "Handle"; }
    void encode(MPS::KeyedArchiver& coder) const override { coder.encode(label_, "label"); }

private:
    std::string label_;
};

} // namespace mpsvk::mps
