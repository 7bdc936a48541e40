#include "mps/KeyedArchiver.hpp"

#include "mps/CNNBatchNormalizationArchive.hpp"
#include "mps/CNNBinaryConvolution.hpp"
#include "mps/CNNGroupwiseNormalizationArchive.hpp"
#include "mps/ConvolutionArchive.hpp"
#include "mps/NNGraphArchive.hpp"

#include <mpsvk/MPS/NDArray.hpp>
#include <mpsvk/MPS/NNPadding.hpp>

#include <nlohmann/json.hpp>

#include <mutex>

namespace mpsvk::MPS {

using nlohmann::json;

namespace {

constexpr const char* formatName = "mpsvk archive";
constexpr int formatVersion = 1;
constexpr const char* classKey = "$class";
constexpr const char* objectKey = "$object";

struct Registry {
    std::mutex mutex;
    std::map<std::string, KeyedUnarchiver::Factory> factories;
};

/// Knows the library's own classes from the start.
Registry& registry() {
    static Registry all;
    static const bool filled = [] {
        all.factories["NNDefaultPadding"] = [](KeyedUnarchiver& coder) {
            return NNDefaultPadding::padding(NNPaddingMethod(coder.decodeInt64("paddingMethod")));
        };
        all.factories["CNNConvolutionWeights"] = [](KeyedUnarchiver& coder) {
            return std::make_shared<mps::ConstantWeights>(coder);
        };
        all.factories["CNNInstanceNormalizationWeights"] = [](KeyedUnarchiver& coder) {
            return std::make_shared<mps::ConstantInstances>(coder);
        };
        all.factories["CNNGroupNormalizationWeights"] = [](KeyedUnarchiver& coder) {
            return std::make_shared<mps::ConstantGroups>(coder);
        };
        all.factories["CNNBinaryConvolutionWeights"] = [](KeyedUnarchiver& coder) {
            return std::make_shared<mps::ConstantBits>(coder);
        };
        all.factories["CNNBatchNormalizationValues"] = [](KeyedUnarchiver& coder) {
            return std::make_shared<mps::ConstantNormalization>(coder);
        };
        all.factories["Handle"] = [](KeyedUnarchiver& coder) {
            return std::make_shared<mps::LabelHandle>(coder.decodeString("label"));
        };
        const auto shared = [](const auto& allocator) {
            return [allocator](KeyedUnarchiver&) {
                return std::dynamic_pointer_cast<SecureCoding>(allocator);
            };
        };
        all.factories["ImageAllocator"] = shared(Image::defaultAllocator());
        all.factories["TemporaryImageAllocator"] = shared(TemporaryImage::defaultAllocator());
        all.factories["NDArrayAllocator"] = shared(NDArray::defaultAllocator());
        all.factories["TemporaryNDArrayAllocator"] = shared(TemporaryNDArray::defaultAllocator());
        return true;
    }();
    (void)filled;
    return all;
}

/// False where items are of open length, which no archive has, or lie deeper than any archive's:
/// the parser calls itself for each of them. What is cut short or no CBOR, the parser names.
bool nestsAsArchivesDo(std::span<const std::byte> data) {
    constexpr size_t most = 64;
    std::vector<uint64_t> left; // items that the open arrays and maps still want
    for (size_t at = 0; at < data.size();) {
        const auto head = uint8_t(data[at++]);
        const int major = head >> 5, info = head & 31;
        if (info > 27) return info < 31 || major == 7;
        const size_t extra = info < 24 ? 0 : size_t(1) << (info - 24);
        if (extra > data.size() - at) return true;
        uint64_t value = extra ? 0 : uint64_t(info);
        for (size_t i = 0; i < extra; ++i) value = value << 8 | uint8_t(data[at++]);
        if (major == 2 || major == 3) {
            if (value > data.size() - at) return true;
            at += size_t(value);
        } else if ((major == 4 || major == 5) && value > 0) {
            if (left.size() == most) return false;
            left.push_back(major == 5 && value <= UINT64_MAX / 2 ? 2 * value : value);
            continue;
        }
        while (!left.empty() && --left.back() == 0) left.pop_back();
        if (left.empty()) return true;
    }
    return true;
}

std::string quoted(std::string_view key) { return "\"" + std::string(key) + "\""; }

} // namespace

// ---- writing -----------------------------------------------------------------------------------

KeyedArchiver::Impl::Impl() : root(std::make_unique<json>(json::object())) {}
KeyedArchiver::Impl::~Impl() = default;

json& KeyedArchiver::Impl::place(std::string_view key) {
    json& object = *path.back();
    if (object.contains(key))
        throw InvalidArgument("[KeyedArchiver] The key " + quoted(key) +
                              " is written twice in one object.");
    return object[std::string(key)];
}

void KeyedArchiver::Impl::enter(std::string_view key) {
    json& group = place(key);
    group = json::object();
    path.push_back(&group);
}

void KeyedArchiver::Impl::leave() { path.pop_back(); }

KeyedArchiver::KeyedArchiver() : impl_(std::make_unique<Impl>()) {}
KeyedArchiver::~KeyedArchiver() = default;

void KeyedArchiver::begin(const std::string& className) {
    (*impl_->root)[classKey] = className;
    impl_->path = {impl_->root.get()};
}

void KeyedArchiver::encodeInteger(int64_t value, std::string_view key) {
    impl_->place(key) = value;
}
void KeyedArchiver::encode(double value, std::string_view key) { impl_->place(key) = value; }
void KeyedArchiver::encode(std::string_view value, std::string_view key) {
    impl_->place(key) = std::string(value);
}

void KeyedArchiver::encodeBytes(std::span<const std::byte> bytes, std::string_view key) {
    const auto* begin = reinterpret_cast<const uint8_t*>(bytes.data());
    impl_->place(key) = json::binary({begin, begin + bytes.size()});
}

void KeyedArchiver::encode(const std::shared_ptr<const SecureCoding>& object,
                           std::string_view key) {
    json& place = impl_->place(key);
    if (!object) {
        place = nullptr;
        return;
    }
    const auto [at, isNew] = impl_->known.try_emplace(object, impl_->objects.size());
    place = {{objectKey, at->second}};
    if (!isNew) return;
    json& stored = impl_->objects.emplace_back(json::object());
    stored[classKey] = object->className();
    auto outer = std::exchange(impl_->path, {&stored});
    object->encode(*this);
    impl_->path = std::move(outer);
}

std::vector<std::byte> KeyedArchiver::data() const {
    json document{{"format", formatName}, {"version", formatVersion}, {"root", *impl_->root}};
    document["objects"] = json::array();
    for (const json& object : impl_->objects) document["objects"].push_back(object);
    std::vector<uint8_t> bytes = json::to_cbor(document);
    const auto all = std::as_bytes(std::span(bytes));
    return {all.begin(), all.end()};
}

// ---- reading -----------------------------------------------------------------------------------

KeyedUnarchiver::Impl::Impl() : document(std::make_unique<json>()) {}
KeyedUnarchiver::Impl::~Impl() = default;

std::string KeyedUnarchiver::Impl::className() const {
    const json& object = *path.back();
    const auto found = object.find(classKey);
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

void KeyedUnarchiver::Impl::enter(const KeyedUnarchiver& coder, std::string_view key) {
    const json& object = *path.back();
    const auto found = object.find(key);
    if (found == object.end() || !found->is_object())
        coder.refuse("There is no group " + quoted(key) + ".");
    path.push_back(&*found);
}

void KeyedUnarchiver::Impl::leave() { path.pop_back(); }

KeyedUnarchiver::KeyedUnarchiver(std::span<const std::byte> data, const MTL::Device& device)
    : impl_(std::make_unique<Impl>()) {
    impl_->device = device;
    json& document = *impl_->document;
    const auto* begin = reinterpret_cast<const uint8_t*>(data.data());
    if (!nestsAsArchivesDo(data))
        throw FormatError("[KeyedUnarchiver] The " + std::to_string(data.size()) +
                          " bytes are no archive: their items are nested too deep, or of open "
                          "length.");
    try {
        document = json::from_cbor(begin, begin + data.size());
    } catch (const json::parse_error& error) {
        throw FormatError("[KeyedUnarchiver] The " + std::to_string(data.size()) +
                          " bytes are no archive: at byte " + std::to_string(error.byte) +
                          " they are no CBOR.");
    } catch (const json::exception& error) {
        throw FormatError("[KeyedUnarchiver] The " + std::to_string(data.size()) +
                          " bytes are no archive: " + error.what() + ".");
    }
    const auto is = [&](const char* key, auto test) {
        return document.is_object() && document.contains(key) && test(document[key]);
    };
    if (!is("format", [](const json& v) { return v == formatName; }) ||
        !is("root", [](const json& v) { return v.is_object(); }) ||
        !is("objects", [](const json& v) { return v.is_array(); }))
        throw FormatError("[KeyedUnarchiver] The " + std::to_string(data.size()) +
                          " bytes are no archive of this library.");
    if (!is("version", [](const json& v) { return v == formatVersion; }))
        throw FormatError(
            "[KeyedUnarchiver] The archive has version " +
            document.value("version", json()).dump(-1, ' ', false, json::error_handler_t::replace) +
            " but this library reads " + std::to_string(formatVersion) + ".");
    impl_->path = {&document["root"]};
    impl_->objects.resize(document["objects"].size());
    impl_->inProgress.resize(document["objects"].size());
}

KeyedUnarchiver::~KeyedUnarchiver() = default;

void KeyedUnarchiver::setClass(Factory factory, const std::string& className) {
    Registry& all = registry();
    std::lock_guard lock(all.mutex);
    all.factories[className] = std::move(factory);
}

void KeyedUnarchiver::refuse(const std::string& sentence) const {
    const std::string name = impl_->className();
    throw FormatError("[KeyedUnarchiver] " + (name.empty() ? "" : "In a " + name + ": ") +
                      sentence);
}

bool KeyedUnarchiver::containsValue(std::string_view key) const {
    return impl_->path.back()->contains(key);
}

namespace {
template <class Test>
const json& valueOf(const KeyedUnarchiver& coder, std::string_view key, const char* type,
                    Test test) {
    const json& object = *coder.impl().path.back();
    const auto found = object.find(key);
    if (found == object.end() || !test(*found))
        coder.refuse("There is no " + std::string(type) + " " + quoted(key) + ".");
    return *found;
}
} // namespace

int64_t KeyedUnarchiver::decodeInt64(std::string_view key) const {
    const json& value = valueOf(*this, key, "integer", [](const json& v) {
        return v.is_number_integer() &&
               !(v.is_number_unsigned() && v.get<uint64_t>() > uint64_t(INT64_MAX));
    });
    return value.get<int64_t>();
}

double KeyedUnarchiver::decodeDouble(std::string_view key) const {
    return valueOf(*this, key, "number", [](const json& v) { return v.is_number(); }).get<double>();
}

std::string KeyedUnarchiver::decodeString(std::string_view key) const {
    return valueOf(*this, key, "string", [](const json& v) { return v.is_string(); })
        .get<std::string>();
}

std::vector<std::byte> KeyedUnarchiver::decodeBytes(std::string_view key) const {
    const auto& bytes = valueOf(*this, key, "byte string", [](const json& v) {
                            return v.is_binary();
                        }).get_binary();
    const auto all = std::as_bytes(std::span(bytes.data(), bytes.size()));
    return {all.begin(), all.end()};
}

std::shared_ptr<SecureCoding> KeyedUnarchiver::decodeObject(std::string_view key) {
    const json& value = valueOf(*this, key, "object", [](const json& v) {
        return v.is_null() ||
               (v.is_object() && v.contains(objectKey) && v[objectKey].is_number_unsigned());
    });
    if (value.is_null()) return nullptr;
    const auto number = value[objectKey].get<uint64_t>();
    const json& all = (*impl_->document)["objects"];
    if (number >= all.size() || !all[number].is_object())
        refuse("The object " + quoted(key) + " is number " + std::to_string(number) +
               " but the archive has " + std::to_string(all.size()) + ".");
    if (impl_->inProgress[number]) refuse("The object " + quoted(key) + " contains itself.");
    auto& made = impl_->objects[number];
    if (made) return made;
    const auto outer = impl_->path;
    impl_->path = {&all[number]};
    impl_->inProgress[number] = true;
    made = makeObject();
    impl_->inProgress[number] = false;
    impl_->path = outer;
    return made;
}

std::shared_ptr<SecureCoding> KeyedUnarchiver::makeObject() {
    const std::string name = impl_->className();
    Factory factory;
    {
        Registry& all = registry();
        std::lock_guard lock(all.mutex);
        const auto found = all.factories.find(name);
        if (found != all.factories.end()) factory = found->second;
    }
    if (!factory)
        throw FormatError("[KeyedUnarchiver] The archive holds an object of the class " +
                          quoted(std::string_view(name)) + ", which no setClass has named.");
    auto made = factory(*this);
    if (!made) refuse("The factory of the class returned null.");
    return made;
}

MTL::Device KeyedUnarchiver::mpsMTLDevice() const {
    if (!impl_->device) impl_->device = MTL::CreateSystemDefaultDevice();
    return impl_->device;
}

} // namespace mpsvk::MPS
