#include "mps/NNNodeClasses.hpp"

namespace mpsvk::mps {

const NodeClasses& NodeClasses::all() {
    static const NodeClasses classes = [] {
        NodeClasses made;
        for (const auto add :
             {addArithmeticNodes, addBatchNormalizationNodes, addBinaryConvolutionNodes,
              addConvolutionNodes, addGroupwiseNormalizationNodes, addLayerNodes,
              addLocalNormalizationNodes, addLossNodes, addNeuronNodes, addPoolingNodes,
              addReductionNodes, addScaleNodes, addShapeNodes, addUpsamplingNodes})
            add(made);
        return made;
    }();
    return classes;
}

const NodeClasses::Class* NodeClasses::find(const std::string& name) const {
    const auto found = classes_.find(name);
    return found == classes_.end() ? nullptr : &found->second;
}

std::vector<std::string> NodeClasses::names() const {
    std::vector<std::string> all;
    for (const auto& [name, unused] : classes_) all.push_back(name);
    return all;
}

const MPS::NNImageNode& NodeSources::image(size_t index) const {
    if (index >= images_.size())
        coder_.refuse("A node has " + std::to_string(images_.size()) +
                      " source images but takes more.");
    return images_[index];
}

const MPS::NNStateNode& NodeSources::state(size_t index) const {
    if (index >= states_.size())
        coder_.refuse("A node has " + std::to_string(states_.size()) +
                      " source states but takes more.");
    return states_[index];
}

} // namespace mpsvk::mps
