// Copies of graphs, and graphs in archives: both go by the nodes in use.
#include "mps/NNGraphArchive.hpp"

#include "mps/NNGraph.hpp"
#include "mps/NNNodeClasses.hpp"

#include <algorithm>
#include <set>

namespace mpsvk::MPS {

using mps::NodeClasses;

void NNImageNode::Impl::archive(mps::Archive& archive) {
    archive.object("handle", handle, "The handle",
                   [&] { return std::make_shared<mps::LabelHandle>(handle->label()); });
    archive("format", format);
    archive.object("imageAllocator", allocator, "The image allocator of a node");
    archive("exportFromGraph", exportFromGraph);
    archive("synchronizeResource", synchronizeResource);
    archive("stopGradient", stopGradient);
}

void NNStateNode::Impl::archive(mps::Archive& archive) {
    archive("kind", kind);
    archive.object("handle", handle, "The handle",
                   [&] { return std::make_shared<mps::LabelHandle>(handle->label()); });
    archive("exportFromGraph", exportFromGraph);
    archive("synchronizeResource", synchronizeResource);
}

namespace {

const NodeClasses::Class& classOf(const NNFilterNode::Impl& node, const std::string& who) {
    const auto* found = NodeClasses::all().find(node.className);
    if (!found)
        throw InvalidArgument(who + "A " + node.className + " can be neither copied nor archived.");
    return *found;
}

/// Without the space at the end.
std::string trimmed(std::string subject) {
    if (!subject.empty() && subject.back() == ' ') subject.pop_back();
    return subject;
}

/// What an archive says of a node, apart from its class's properties.
struct ArchivedNode {
    std::string className, label;
    bool isTrained = false;
    NNTrainingStyle trainingStyle = NNTrainingStyle::UpdateDeviceNone;
    std::shared_ptr<NNPadding> padding;
    std::vector<uint32_t> imageSources, stateSources, stateResults;
    uint32_t imageResult = 0;

    void archive(mps::Archive& archive) {
        archive("class", className);
        archive("label", label);
        archive("isTrained", isTrained);
        archive("trainingStyle", trainingStyle);
        archive.object("paddingPolicy", padding,
                       "The padding policy of " + trimmed(MTL::subject(className, label)));
        archive("imageSources", imageSources);
        archive("stateSources", stateSources);
        archive("imageResult", imageResult);
        archive("stateResults", stateResults);
    }
};

std::vector<uint32_t> narrowed(const std::vector<size_t>& indices) {
    return {indices.begin(), indices.end()};
}

/// Places among the archive's images or states.
template <class Node> class Table {
public:
    explicit Table(KeyedUnarchiver& coder) : coder_(coder) {}
    void add(Node node) { nodes_.push_back(std::move(node)); }
    Node& at(uint32_t index) {
        if (index >= nodes_.size())
            coder_.refuse("Place " + std::to_string(index) + " was named but there are " +
                          std::to_string(nodes_.size()) + ".");
        return nodes_[index];
    }
    std::vector<Node> all(const std::vector<uint32_t>& indices) {
        std::vector<Node> found;
        for (const uint32_t index : indices) found.push_back(at(index));
        return found;
    }

private:
    KeyedUnarchiver& coder_;
    std::vector<Node> nodes_;
};

std::string keyOf(const char* what, size_t index) { return what + std::to_string(index); }

template <class Node>
std::vector<Node> pick(const std::vector<Node>& all, const std::vector<size_t>& indices) {
    std::vector<Node> picked;
    for (const size_t index : indices) picked.push_back(all[index]);
    return picked;
}

const std::string& classNameOf(const NNGraph::Impl::Step& step) { return step.node->className; }

/// Takes over what the archive says of a node's result.
template <class Impl> void describeResult(Impl& result, const Impl& archived) {
    auto* producer = result.producer;
    result = archived;
    result.producer = producer;
}

} // namespace

void NNGraph::Impl::archiveSettings(mps::Archive& archive) {
    archive("label", label);
    archive("options", options);
    archive("format", format);
    archive("outputStateIsTemporary", outputStateIsTemporary);
    archive("encodeCount", encodeCount);
    archive.object("destinationImageAllocator", allocator, "The destination image allocator");
}

namespace {

/// While it is there, a coder knows what stands for the data sources of a graph's nodes.
class StandIns {
public:
    StandIns(KeyedArchiver& coder, const NNGraph::Impl& graph) : coder_(coder) {
        coder.impl().standInFor = [&graph](const void* source) { return made(graph, source); };
    }
    ~StandIns() { coder_.impl().standInFor = {}; }
    StandIns(const StandIns&) = delete;

private:
    static std::shared_ptr<SecureCoding> made(const NNGraph::Impl& graph, const void* source) {
        const auto from = [&](mps::Stage& stage) {
            return stage.dataSource() == source ? stage.dataSourceByValue() : nullptr;
        };
        for (const NNGraph::Impl::Step& step : graph.steps)
            if (auto made = from(*step.stage)) return made;
        // The source of a node that no step needs: its values are not in use.
        for (const NNGraph::Impl::Node& node : graph.nodes)
            if (std::ranges::find(graph.steps, node.node, &NNGraph::Impl::Node::node) ==
                graph.steps.end())
                if (auto made = from(*node.node->makeStage(graph.device))) return made;
        return nullptr;
    }
    KeyedArchiver& coder_;
};

} // namespace

// Writing leaves the graph as it is.
void NNGraph::encode(KeyedArchiver& coder) const {
    Impl& self = impl();
    self.takeHostUpdates();
    const StandIns standIns(coder, self);
    mps::Archive archive(coder);
    self.archiveSettings(archive);
    std::vector<uint8_t> needed(self.resultsNeeded.begin(), self.resultsNeeded.end());
    archive("resultsAreNeeded", needed);

    std::set<size_t> usedImages(self.results.begin(), self.results.end()), usedStates;
    for (const Impl::Node& step : self.nodes) {
        usedImages.insert(step.imageSources.begin(), step.imageSources.end());
        usedImages.insert(step.imageResult);
        usedStates.insert(step.stateSources.begin(), step.stateSources.end());
        usedStates.insert(step.stateResults.begin(), step.stateResults.end());
    }
    const auto archiveAll = [&](const char* what, auto& slots, const std::set<size_t>& used,
                                auto unused) {
        uint64_t count = slots.size();
        archive(what, count);
        for (size_t i = 0; i < slots.size(); ++i)
            archive(keyOf(what, i).c_str(), used.count(i) ? slots[i].node.impl() : unused);
    };
    archiveAll("images", self.images, usedImages, NNImageNode::Impl());
    archiveAll("states", self.states, usedStates, NNStateNode::Impl());
    const auto archiveIndices = [&](const char* what, const std::vector<size_t>& indices) {
        auto all = narrowed(indices);
        archive(what, all);
    };
    archiveIndices("sourceImages", self.inputImages);
    archiveIndices("sourceStates", self.inputStates);
    archiveIndices("resultImages", self.results);

    uint64_t count = self.nodes.size();
    archive("nodes", count);
    for (size_t i = 0; i < self.nodes.size(); ++i) {
        const Impl::Node& step = self.nodes[i];
        NNFilterNode::Impl& node = *step.node;
        classOf(node, self.subject());
        ArchivedNode archived{node.className,
                              node.label,
                              node.trainingStyle.has_value(),
                              node.trainingStyle.value_or(NNTrainingStyle::UpdateDeviceNone),
                              node.padding,
                              narrowed(step.imageSources),
                              narrowed(step.stateSources),
                              narrowed(step.stateResults),
                              uint32_t(step.imageResult)};
        archive(keyOf("node", i).c_str(), archived);
        try {
            archive(keyOf("properties", i).c_str(), node);
        } catch (const InvalidArgument& error) {
            throw InvalidArgument(node.subject() + error.what());
        }
    }
}

NNGraph::NNGraph(KeyedUnarchiver& coder, const MTL::Device& device) {
    if (coder.impl().className() != "NNGraph")
        throw FormatError("[KeyedUnarchiver] The archive holds a " + coder.impl().className() +
                          " but an NNGraph was asked for.");
    mps::Archive archive(coder);
    mps::GraphNodes nodes;
    std::vector<uint8_t> needed;
    archive("resultsAreNeeded", needed);
    nodes.resultsNeeded.assign(needed.begin(), needed.end());

    Table<NNImageNode> images(coder);
    Table<NNStateNode> states(coder);
    const auto readAll = [&](const char* what, auto& table, auto made) {
        uint64_t count = 0;
        archive(what, count);
        for (uint64_t i = 0; i < count; ++i) {
            const auto impl = std::make_shared<typename decltype(made)::Impl>();
            archive(keyOf(what, i).c_str(), *impl);
            table.add(decltype(made)(impl));
        }
    };
    readAll("images", images, NNImageNode());
    readAll("states", states, NNStateNode());
    const auto indices = [&](const char* what) {
        std::vector<uint32_t> all;
        archive(what, all);
        return all;
    };
    nodes.inputImages = images.all(indices("sourceImages"));
    nodes.inputStates = states.all(indices("sourceStates"));

    uint64_t count = 0;
    archive("nodes", count);
    for (uint64_t i = 0; i < count; ++i) {
        ArchivedNode archived;
        archive(keyOf("node", i).c_str(), archived);
        const auto* found = NodeClasses::all().find(archived.className);
        if (!found) coder.refuse("There is no class of nodes \"" + archived.className + "\".");
        coder.impl().enter(coder, keyOf("properties", i));
        const auto node = found->make(mps::NodeSources(coder, images.all(archived.imageSources),
                                                       states.all(archived.stateSources)));
        node->archive(archive);
        coder.impl().leave();
        node->label = archived.label;
        node->padding = archived.padding;
        node->trainingStyle.reset();
        if (archived.isTrained) node->trainingStyle = archived.trainingStyle;
        NNImageNode& image = images.at(archived.imageResult);
        describeResult(node->resultImage, image.impl());
        image = node->result();
        if (archived.stateResults.size() != node->resultStates.size())
            coder.refuse("A " + archived.className + " has " +
                         std::to_string(node->resultStates.size()) +
                         " result states but the archive says " +
                         std::to_string(archived.stateResults.size()) + ".");
        for (size_t k = 0; k < archived.stateResults.size(); ++k) {
            NNStateNode& state = states.at(archived.stateResults[k]);
            describeResult(*node->resultStates[k], state.impl());
            state = node->state(k);
        }
        nodes.filters.push_back(node);
    }
    nodes.results = images.all(indices("resultImages"));
    if (nodes.results.empty() || nodes.results.size() != nodes.resultsNeeded.size())
        coder.refuse("A graph of " + std::to_string(nodes.results.size()) + " results says of " +
                     std::to_string(nodes.resultsNeeded.size()) + " whether they are needed.");
    const auto made = std::make_shared<Impl>(device ? device : coder.mpsMTLDevice(), nodes);
    made->archiveSettings(archive);
    made->setOptions(made->options); // of the kernels, too
    if (!made->allocator) made->allocator = Image::defaultAllocator();
    impl_ = made;
}

NNGraph::Impl::NodeCopies NNGraph::Impl::copiesOfNodes() const {
    NodeCopies made;
    // Places that no node makes are inputs, or results that are not needed.
    const auto copyAll = [](const auto& slots, auto& copies) {
        using Node = typename std::decay_t<decltype(copies)>::value_type;
        for (const auto& slot : slots) {
            const auto copy = std::make_shared<typename Node::Impl>(slot.node.impl());
            copy->producer = nullptr;
            copies.push_back(Node(copy));
        }
    };
    copyAll(images, made.images);
    copyAll(states, made.states);
    for (const Node& each : nodes) {
        const auto node = classOf(*each.node, subject()).copy(*each.node);
        node->sources = pick(made.images, each.imageSources);
        node->sourceStates = pick(made.states, each.stateSources);
        made.images[each.imageResult] = node->result();
        for (size_t k = 0; k < each.stateResults.size(); ++k)
            made.states[each.stateResults[k]] = node->state(k);
        made.filters.push_back(node);
    }
    return made;
}

NNGraph NNGraph::copy(const MTL::Device& device) const {
    Impl& self = impl();
    self.takeHostUpdates();
    const MTL::Device target = device ? device : self.device;
    mps::SourceCopies sources{target};
    mps::Archive copying(sources);
    const Impl::NodeCopies copies = self.copiesOfNodes();
    for (const auto& filter : copies.filters) filter->archive(copying);
    mps::GraphNodes nodes;
    nodes.filters = copies.filters;
    nodes.resultsNeeded = self.resultsNeeded;
    nodes.inputImages = pick(copies.images, self.inputImages);
    nodes.inputStates = pick(copies.states, self.inputStates);
    nodes.results = pick(copies.images, self.results);
    const auto made = std::make_shared<Impl>(target, nodes);
    // What a data source or a policy says of itself may be another thing now.
    if (!std::ranges::equal(made->steps, self.steps, {}, classNameOf, classNameOf))
        throw InvalidArgument(self.subject() +
                              "The copy has other steps than the graph: a data source or a padding "
                              "policy says something else than when the graph was made.");
    for (size_t i = 0; i < self.steps.size(); ++i)
        if (self.steps[i].stage->dataSource())
            made->steps[i].stage->takeParameters(*self.steps[i].stage);
    made->label = self.label;
    made->setOptions(self.options);
    made->format = self.format;
    made->outputStateIsTemporary = self.outputStateIsTemporary;
    made->encodeCount = self.encodeCount;
    made->allocator = self.allocator;
    NNGraph copy;
    copy.impl_ = made;
    return copy;
}

} // namespace mpsvk::MPS
