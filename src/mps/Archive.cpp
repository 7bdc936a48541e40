#include "mps/Archive.hpp"

#include <sstream>

namespace mpsvk::mps {

std::shared_ptr<MPS::SecureCoding> Archive::dataSourceOf(MPS::Kernel& kernel) {
    std::shared_ptr<MPS::SecureCoding> source;
    Archive archive(source);
    kernel.archive(archive);
    return source;
}

void Archive::describe(const char* key, const std::string& value) {
    if (!text_->empty() && text_->back() != '{') *text_ += ", ";
    *text_ += std::string(key) + " " + value;
}

void Archive::integer(const char* key, int64_t& value, int64_t least, int64_t most,
                      bool hasMaximum) {
    if (writer_) writer_->encode(value, key);
    if (text_) describe(key, hasMaximum && value == -1 ? "all" : std::to_string(value));
    if (!reader_) return;
    value = reader_->decodeInt64(key);
    if (value < least || value > most)
        reader_->refuse("\"" + std::string(key) + "\" is " + std::to_string(value) +
                        " but must be from " + std::to_string(least) + " to " +
                        std::to_string(most) + ".");
}

void Archive::real(const char* key, double& value) {
    if (writer_) writer_->encode(value, key);
    if (reader_) value = reader_->decodeDouble(key);
    if (!text_) return;
    std::ostringstream number;
    number << value;
    describe(key, number.str());
}

void Archive::string(const char* key, std::string& value) {
    if (writer_) writer_->encode(value, key);
    if (reader_) value = reader_->decodeString(key);
    if (text_) describe(key, "\"" + value + "\"");
}

void Archive::bytes(const char* key, std::vector<std::byte>& value, size_t elementSize) {
    if (writer_) writer_->encodeBytes(value, key);
    if (text_) describe(key, "of " + std::to_string(value.size() / elementSize) + " elements");
    if (!reader_) return;
    value = reader_->decodeBytes(key);
    if (value.size() % elementSize != 0)
        reader_->refuse("\"" + std::string(key) + "\" has " + std::to_string(value.size()) +
                        " bytes but its elements take " + std::to_string(elementSize) + ".");
}

void Archive::enter(const char* key) {
    if (writer_) writer_->impl().enter(key);
    if (reader_) reader_->impl().enter(*reader_, key);
    if (text_) describe(key, "{");
}

void Archive::leave() {
    if (writer_) writer_->impl().leave();
    if (reader_) reader_->impl().leave();
    if (text_) *text_ += "}";
}

namespace {
/// Gives a plain struct the function that makes it a group.
template <class Fields> struct Group {
    Fields fields;
    void archive(Archive& archive) { fields(archive); }
};
template <class Fields> Group(Fields) -> Group<Fields>;
} // namespace

void Archive::operator()(const char* key, MPS::Offset& v) {
    Group group{[&](Archive& a) { a("x", v.x), a("y", v.y), a("z", v.z); }};
    (*this)(key, group);
}

void Archive::operator()(const char* key, MPS::ImageCoordinate& v) {
    Group group{[&](Archive& a) { a("x", v.x), a("y", v.y), a("channel", v.channel); }};
    (*this)(key, group);
}

void Archive::operator()(const char* key, MTL::Origin& v) {
    Group group{[&](Archive& a) { a("x", v.x), a("y", v.y), a("z", v.z); }};
    (*this)(key, group);
}

void Archive::operator()(const char* key, MTL::Size& v) {
    Group group{
        [&](Archive& a) { a("width", v.width), a("height", v.height), a("depth", v.depth); }};
    (*this)(key, group);
}

void Archive::operator()(const char* key, MTL::Region& v) {
    Group group{[&](Archive& a) {
        a("origin", v.origin);
        a("size", v.size);
    }};
    (*this)(key, group);
}

void Archive::operator()(const char* key, MPS::KernelWindow& v) {
    Group group{[&](Archive& a) {
        a("width", v.width), a("height", v.height);
        a("strideX", v.strideX), a("strideY", v.strideY);
        a("dilationX", v.dilationX), a("dilationY", v.dilationY);
    }};
    (*this)(key, group);
}

} // namespace mpsvk::mps
