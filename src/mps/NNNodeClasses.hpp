// What graphs know of a node class to copy its nodes and to make them again from an archive.
//
// A node's Impl lists its properties in `archive`; its family names the class in a function below,
// saying how a node is constructed from its sources:
//
//     void addUpsamplingNodes(NodeClasses& all) {
//         all.addUnary<NearestNode>("CNNUpsamplingNearestNode", Scale{1, 1});
//     }
//
// Properties that the constructor takes are read into the node afterwards, whatever was given.
#pragma once

#include "mps/NNGraphNodes.hpp"

#include <map>

namespace mpsvk::mps {

/// The sources of an archived node; what the archive lacks is a FormatError.
class NodeSources {
public:
    NodeSources(MPS::KeyedUnarchiver& coder, std::vector<MPS::NNImageNode> images,
                std::vector<MPS::NNStateNode> states)
        : coder_(coder), images_(std::move(images)), states_(std::move(states)) {}
    const MPS::NNImageNode& image(size_t index) const;
    const MPS::NNStateNode& state(size_t index) const;
    const std::vector<MPS::NNImageNode>& images() const { return images_; }
    const std::vector<MPS::NNStateNode>& states() const { return states_; }
    /// An object among the node's properties, for constructors that take no null.
    template <class T> std::shared_ptr<T> object(const char* key) const {
        auto made = coder_.decodeObject<T>(key);
        if (!made) coder_.refuse("The object \"" + std::string(key) + "\" is null.");
        return made;
    }

private:
    MPS::KeyedUnarchiver& coder_;
    std::vector<MPS::NNImageNode> images_;
    std::vector<MPS::NNStateNode> states_;
};

class NodeClasses {
public:
    using Impl = MPS::NNFilterNode::Impl;
    struct Class {
        std::function<std::shared_ptr<Impl>(const NodeSources&)> make;
        std::function<std::shared_ptr<Impl>(const Impl&)> copy;
    };
    static const NodeClasses& all();
    const Class* find(const std::string& name) const;
    std::vector<std::string> names() const;

    /// `make` returns a shared_ptr to the Impl, given a NodeSources.
    template <class Make> void add(const char* name, Make make) {
        using Node = typename std::invoke_result_t<Make, const NodeSources&>::element_type;
        classes_[name] = {make, [](const Impl& node) {
                              return std::make_shared<Node>(static_cast<const Node&>(node));
                          }};
    }
    /// Constructed as (name, source, arguments...).
    template <class Node, class... Arguments>
    void addUnary(const char* name, const Arguments&... arguments) {
        add(name, [=](const NodeSources& from) {
            return std::make_shared<Node>(name, from.image(0), arguments...);
        });
    }
    /// Constructed as (name, gradient, source, gradient state, arguments...).
    template <class Node, class... Arguments>
    void addGradient(const char* name, const Arguments&... arguments) {
        add(name, [=](const NodeSources& from) {
            return std::make_shared<Node>(name, from.image(0), from.image(1), from.state(0),
                                          arguments...);
        });
    }

private:
    std::map<std::string, Class> classes_;
};

void addArithmeticNodes(NodeClasses& all);
void addBatchNormalizationNodes(NodeClasses& all);
void addBinaryConvolutionNodes(NodeClasses& all);
void addConvolutionNodes(NodeClasses& all);
void addGroupwiseNormalizationNodes(NodeClasses& all);
void addLayerNodes(NodeClasses& all);
void addLocalNormalizationNodes(NodeClasses& all);
void addLossNodes(NodeClasses& all);
void addNeuronNodes(NodeClasses& all);
void addPoolingNodes(NodeClasses& all);
void addReductionNodes(NodeClasses& all);
void addScaleNodes(NodeClasses& all);
void addShapeNodes(NodeClasses& all);
void addUpsamplingNodes(NodeClasses& all);

} // namespace mpsvk::mps
