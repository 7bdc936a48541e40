#include "mps/NNGraphNodes.hpp"

#include "mtl/Device.hpp"

#include <mpsvk/Error.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace mpsvk::MPS {

NNImageNode::NNImageNode() : Object(std::make_shared<Impl>()) {}
NNImageNode::NNImageNode(std::shared_ptr<Handle> handle) : NNImageNode() {
    setHandle(std::move(handle));
}
NNImageNode::NNImageNode(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

NNImageNode NNImageNode::exportedNode(std::shared_ptr<Handle> handle) {
    NNImageNode node(std::move(handle));
    node.setExportFromGraph(true);
    return node;
}

NNImageNode::Impl& NNImageNode::impl() const {
    if (!impl_) throw InvalidArgument("[NNImageNode] The image node is empty.");
    return static_cast<Impl&>(*impl_);
}

bool NNImageNode::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}

std::shared_ptr<Handle> NNImageNode::handle() const { return impl().handle; }
void NNImageNode::setHandle(std::shared_ptr<Handle> handle) const {
    impl().handle = std::move(handle);
}
ImageFeatureChannelFormat NNImageNode::format() const { return impl().format; }
void NNImageNode::setFormat(ImageFeatureChannelFormat format) const { impl().format = format; }
std::shared_ptr<ImageAllocator> NNImageNode::imageAllocator() const {
    return impl().allocator ? impl().allocator : TemporaryImage::defaultAllocator();
}
void NNImageNode::setImageAllocator(std::shared_ptr<ImageAllocator> allocator) const {
    impl().allocator = std::move(allocator);
}
bool NNImageNode::exportFromGraph() const { return impl().exportFromGraph; }
void NNImageNode::setExportFromGraph(bool value) const { impl().exportFromGraph = value; }
bool NNImageNode::synchronizeResource() const { return impl().synchronizeResource; }
void NNImageNode::setSynchronizeResource(bool value) const { impl().synchronizeResource = value; }
bool NNImageNode::stopGradient() const { return impl().stopGradient; }
void NNImageNode::setStopGradient(bool value) const { impl().stopGradient = value; }

NNStateNode::NNStateNode(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

NNStateNode::Impl& NNStateNode::impl() const {
    if (!impl_) throw InvalidArgument("[NNStateNode] The state node is empty.");
    return static_cast<Impl&>(*impl_);
}

std::shared_ptr<Handle> NNStateNode::handle() const { return impl().handle; }
void NNStateNode::setHandle(std::shared_ptr<Handle> handle) const {
    impl().handle = std::move(handle);
}
bool NNStateNode::exportFromGraph() const { return impl().exportFromGraph; }
void NNStateNode::setExportFromGraph(bool value) const { impl().exportFromGraph = value; }
bool NNStateNode::synchronizeResource() const { return impl().synchronizeResource; }
void NNStateNode::setSynchronizeResource(bool value) const { impl().synchronizeResource = value; }

namespace {
bool stateHasKind(const detail::ObjectImpl& object, std::initializer_list<StateNodeKind> kinds) {
    const auto* node = dynamic_cast<const NNStateNode::Impl*>(&object);
    return node && std::ranges::find(kinds, node->kind) != kinds.end();
}
} // namespace

bool NNStateNode::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}
bool NNGradientStateNode::isKindOf(const detail::ObjectImpl& object) {
    return stateHasKind(object, {StateNodeKind::Gradient, StateNodeKind::ConvolutionGradient,
                                 StateNodeKind::ConvolutionTransposeGradient});
}
bool NNBinaryGradientStateNode::isKindOf(const detail::ObjectImpl& object) {
    return stateHasKind(object, {StateNodeKind::BinaryGradient});
}
bool NNMultiaryGradientStateNode::isKindOf(const detail::ObjectImpl& object) {
    return stateHasKind(object, {StateNodeKind::MultiaryGradient});
}
bool CNNConvolutionGradientStateNode::isKindOf(const detail::ObjectImpl& object) {
    return stateHasKind(
        object, {StateNodeKind::ConvolutionGradient, StateNodeKind::ConvolutionTransposeGradient});
}
bool CNNConvolutionTransposeGradientStateNode::isKindOf(const detail::ObjectImpl& object) {
    return stateHasKind(object, {StateNodeKind::ConvolutionTransposeGradient});
}
bool NNLabelsNode::isKindOf(const detail::ObjectImpl& object) {
    return stateHasKind(object, {StateNodeKind::Labels});
}

NNFilterNode::Impl::Impl(std::string name, std::vector<NNImageNode> images,
                         std::vector<NNStateNode> states)
    : className(std::move(name)), sources(std::move(images)), sourceStates(std::move(states)) {
    for (size_t i = 0; i < sources.size(); ++i)
        if (!sources[i])
            throw InvalidArgument("[" + className + "] Source image node " + std::to_string(i) +
                                  " is empty.");
    for (const NNStateNode& state : sourceStates)
        if (!state) throw InvalidArgument("[" + className + "] The source state node is empty.");
    resultImage.producer = this;
    if (!sources.empty()) resultImage.format = sources[0].format();
}

NNFilterNode::Impl::Impl(const Impl& other)
    : ObjectImpl(), std::enable_shared_from_this<Impl>(), className(other.className),
      sources(other.sources), sourceStates(other.sourceStates), resultImage(other.resultImage),
      padding(other.padding), label(other.label), trainingStyle(other.trainingStyle) {
    resultImage.producer = this;
    for (const auto& state : other.resultStates) {
        resultStates.push_back(std::make_unique<NNStateNode::Impl>(*state));
        resultStates.back()->producer = this;
    }
}

void NNFilterNode::Impl::addResultState(StateNodeKind kind) {
    resultStates.push_back(std::make_unique<NNStateNode::Impl>());
    resultStates.back()->kind = kind;
    resultStates.back()->producer = this;
}

std::string NNFilterNode::Impl::subject() const { return MTL::subject(className, label); }

NNFilterNode::NNFilterNode(std::shared_ptr<Impl> impl) : Object(std::move(impl)) {}

NNFilterNode::Impl& NNFilterNode::impl() const {
    if (!impl_) throw InvalidArgument("[NNFilterNode] The filter node is empty.");
    return static_cast<Impl&>(*impl_);
}

bool NNFilterNode::isKindOf(const detail::ObjectImpl& object) {
    return dynamic_cast<const Impl*>(&object) != nullptr;
}
bool NNTrainableNode::isKindOf(const detail::ObjectImpl& object) {
    const auto* node = dynamic_cast<const Impl*>(&object);
    return node && node->trainingStyle;
}
bool NNGradientFilterNode::isKindOf(const detail::ObjectImpl& object) {
    const auto* node = dynamic_cast<const Impl*>(&object);
    return node && node->isGradient();
}

NNImageNode NNFilterNode::resultImage() const { return impl().result(); }
NNStateNode NNFilterNode::resultState() const {
    return impl().resultStates.empty() ? NNStateNode() : impl().state(0);
}
std::vector<NNStateNode> NNFilterNode::resultStates() const {
    std::vector<NNStateNode> all;
    for (size_t i = 0; i < impl().resultStates.size(); ++i) all.push_back(impl().state(i));
    return all;
}
std::shared_ptr<NNPadding> NNFilterNode::paddingPolicy() const { return impl().padding; }
void NNFilterNode::setPaddingPolicy(std::shared_ptr<NNPadding> padding) const {
    impl().padding = std::move(padding);
}
std::string NNFilterNode::label() const { return impl().label; }
void NNFilterNode::setLabel(const std::string& label) const { impl().label = label; }

NNTrainingStyle NNFilterNode::trainingStyle() const {
    return impl().trainingStyle.value_or(NNTrainingStyle::UpdateDeviceNone);
}

void NNFilterNode::setTrainingStyle(NNTrainingStyle style) const {
    if (!impl().trainingStyle)
        throw InvalidArgument(impl().subject() +
                              "trainingStyle was set on a node that has nothing to train.");
    impl().trainingStyle = style;
}

NNFilterNode NNFilterNode::gradientFilter(const NNImageNode& source) const {
    return gradientFilter(std::vector<NNImageNode>{source});
}

NNFilterNode NNFilterNode::gradientFilter(const std::vector<NNImageNode>& sources) const {
    const auto all = gradientFilters(sources);
    if (all.size() != 1)
        throw InvalidArgument(impl().subject() + "gradientFilter gives one node but there are " +
                              std::to_string(all.size()) + "; use gradientFilters.");
    return all[0];
}

std::vector<NNFilterNode> NNFilterNode::gradientFilters(const NNImageNode& source) const {
    return gradientFilters(std::vector<NNImageNode>{source});
}

std::vector<NNFilterNode>
NNFilterNode::gradientFilters(const std::vector<NNImageNode>& sources) const {
    if (sources.size() != 1 || !sources[0])
        throw InvalidArgument(impl().subject() +
                              "gradientFilters takes the gradient of the result image, one "
                              "node, but was given " +
                              std::to_string(sources.size()) + ".");
    auto all = impl().makeGradients(sources);
    if (all.empty()) throw InvalidArgument(impl().subject() + "This kind of node has no gradient.");
    for (const NNFilterNode& node : all)
        if (node.impl().trainingStyle && impl().trainingStyle)
            node.impl().trainingStyle = impl().trainingStyle;
    return all;
}

namespace {

/// Reverse-mode differentiation over the nodes upstream of one.
class TrainingGraph {
public:
    TrainingGraph(NNFilterNode::Impl& end, const GradientNodeBlock& handler)
        : end_(end), handler_(handler) {}

    std::vector<NNFilterNode> build(const NNImageNode& gradient) {
        visit(end_);
        NNImageNode::Impl* start = &end_.resultImage;
        if (end_.resultIsGradient()) start = &end_.sources.at(0).impl();
        pending_[start] = {gradient, NNFilterNode()};
        for (auto it = order_.rbegin(); it != order_.rend(); ++it) differentiate(**it);
        std::vector<NNFilterNode> termini;
        for (NNImageNode::Impl* image : contributions_) {
            const NNFilterNode node = pending_.at(image).node;
            const bool ends = !image->producer || image->stopGradient || stopped_.count(image) ||
                              !differentiable_.count(image->producer);
            if (node && ends) termini.push_back(node);
        }
        return termini;
    }

private:
    struct Pending {
        NNImageNode gradient;
        NNFilterNode node;
    };

    void visit(NNFilterNode::Impl& filter) {
        if (!seen_.insert(&filter).second) return;
        for (const NNImageNode& source : filter.sources)
            if (source.impl().producer && !source.impl().stopGradient)
                visit(*source.impl().producer);
        order_.push_back(&filter);
    }

    void differentiate(NNFilterNode::Impl& filter) {
        if (&filter == &end_ && end_.resultIsGradient()) return;
        const auto found = pending_.find(&filter.resultImage);
        if (found == pending_.end() || stopped_.count(&filter.resultImage)) return;
        if (&filter != &end_ && filter.resultImage.stopGradient)
            return; // the handler may have set it
        const NNImageNode incoming = found->second.gradient;
        const auto nodes = filter.makeGradients({incoming});
        if (nodes.empty()) return; // no gradient class: the branch ends here
        differentiable_.insert(&filter);
        const NNFilterNode forward(filter.shared_from_this());
        for (size_t k = 0; k < nodes.size(); ++k) {
            if (nodes[k].impl().trainingStyle && filter.trainingStyle)
                nodes[k].impl().trainingStyle = filter.trainingStyle;
            const NNImageNode& source = filter.sources[k];
            report(nodes[k], forward, source, incoming);
            contribute(source, nodes[k]);
        }
    }

    void contribute(const NNImageNode& image, NNFilterNode node) {
        NNImageNode::Impl* key = &image.impl();
        auto [it, first] = pending_.try_emplace(key);
        if (first) {
            contributions_.push_back(key);
        } else {
            const NNImageNode latest = node.resultImage();
            node = makeAdditionNode(it->second.gradient, latest);
            report(node, NNFilterNode(), image, latest);
        }
        it->second = {node.resultImage(), node};
        if (node.resultImage().stopGradient()) stopped_.insert(key);
    }

    void report(const NNFilterNode& node, const NNFilterNode& forward, const NNImageNode& source,
                const NNImageNode& incoming) {
        if (handler_)
            handler_(node, forward, source, incoming);
        else
            node.resultImage().setHandle(source.handle());
    }

    NNFilterNode::Impl& end_;
    const GradientNodeBlock& handler_;
    std::vector<NNFilterNode::Impl*> order_;
    std::set<NNFilterNode::Impl*> seen_, differentiable_;
    std::map<NNImageNode::Impl*, Pending> pending_;
    std::vector<NNImageNode::Impl*> contributions_;
    std::set<NNImageNode::Impl*> stopped_;
};

} // namespace

std::vector<NNFilterNode>
NNFilterNode::trainingGraph(const std::optional<NNImageNode>& sourceGradient,
                            const GradientNodeBlock& nodeHandler) const {
    const NNImageNode gradient = sourceGradient.value_or(resultImage());
    return TrainingGraph(impl(), nodeHandler).build(gradient);
}

} // namespace mpsvk::MPS
