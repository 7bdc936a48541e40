// One list of an object's properties serves to write them, to read them and to describe them.
//
//     void CNNPoolingAverage::archive(mps::Archive& archive) {
//         CNNPooling::archive(archive);
//         archive("zeroPadSizeX", zeroPadSizeX_);
//         archive("zeroPadSizeY", zeroPadSizeY_);
//     }
#pragma once

#include "mps/KeyedArchiver.hpp"

#include <mpsvk/Error.hpp>
#include <mpsvk/MPS/CNNKernel.hpp>

#include <concepts>
#include <cstring>
#include <limits>
#include <map>
#include <type_traits>

namespace mpsvk::mps {

/// What a copied graph uses in the place of its nodes' data sources: one copy for each.
struct SourceCopies {
    MTL::Device device;
    std::map<const void*, std::shared_ptr<void>> made = {};
};

class Archive {
public:
    explicit Archive(MPS::KeyedArchiver& coder) : writer_(&coder) {}
    explicit Archive(MPS::KeyedUnarchiver& coder) : reader_(&coder) {}
    /// Appends `name value` for each property.
    explicit Archive(std::string& description) : text_(&description) {}
    /// Puts copies of data sources in their place, and leaves everything else.
    explicit Archive(SourceCopies& copies) : copies_(&copies) {}
    /// The data source that would be written with a kernel: its own one, or one of the values in
    /// use; null for a kernel without.
    static std::shared_ptr<MPS::SecureCoding> dataSourceOf(MPS::Kernel& kernel);

    bool isReading() const { return reader_ != nullptr; }
    bool isWriting() const { return writer_ != nullptr || source_ != nullptr; }

    /// Numbers, enumerations, strings, vectors of plain elements, and whatever has a function
    /// `archive(Archive&)`, whose values then form a group.
    template <class T> void operator()(const char* key, T& value) {
        if constexpr (requires { value.archive(*this); }) {
            enter(key);
            value.archive(*this);
            leave();
        } else if constexpr (std::is_floating_point_v<T>) {
            double number = double(value);
            real(key, number);
            value = T(number);
        } else if constexpr (std::is_same_v<T, std::string>) {
            string(key, value);
        } else if constexpr (std::is_same_v<T, bool>) {
            int64_t number = value;
            integer(key, number, 0, 1, false);
            value = number != 0;
        } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
            // 64-bit values travel by their bits.
            int64_t number = int64_t(value);
            if constexpr (sizeof(T) == 8)
                integer(key, number, INT64_MIN, INT64_MAX, std::is_unsigned_v<T>);
            else if constexpr (std::is_enum_v<T>)
                integer(key, number, 0, UINT32_MAX, false);
            else
                integer(key, number, std::numeric_limits<T>::min(), std::numeric_limits<T>::max(),
                        false);
            value = T(number);
        } else {
            static_assert(std::is_trivially_copyable_v<typename T::value_type>);
            constexpr size_t size = sizeof(typename T::value_type);
            std::vector<std::byte> raw(value.size() * size);
            if (!raw.empty()) std::memcpy(raw.data(), value.data(), raw.size());
            bytes(key, raw, size);
            if (!isReading()) return;
            value.resize(raw.size() / size);
            if (!raw.empty()) std::memcpy(value.data(), raw.data(), raw.size());
        }
    }
    void operator()(const char* key, MPS::Offset& value);
    void operator()(const char* key, MPS::ImageCoordinate& value);
    void operator()(const char* key, MTL::Origin& value);
    void operator()(const char* key, MTL::Size& value);
    void operator()(const char* key, MTL::Region& value);
    void operator()(const char* key, MPS::KernelWindow& value);

    /// An object behind an interface; to be written it must be SecureCoding, or the writer must
    /// know what stands in for it.
    template <class Interface>
    void object(const char* key, std::shared_ptr<Interface>& value, const std::string& what) {
        const auto standIn = [&]() -> std::shared_ptr<MPS::SecureCoding> {
            if (!writer_) return nullptr;
            const auto& make = writer_->impl().standInFor;
            return make ? make(value.get()) : nullptr;
        };
        object(key, value, what, standIn);
    }
    /// `standIn` makes what is stored for an object that is not SecureCoding, once for each.
    template <class Interface, class StandIn>
    void object(const char* key, std::shared_ptr<Interface>& value, const std::string& what,
                StandIn standIn) {
        if (reader_) {
            value = reader_->decodeObject<Interface>(key);
        } else if (writer_) {
            auto coding = std::dynamic_pointer_cast<MPS::SecureCoding>(value);
            if (value && !coding) {
                auto& known = writer_->impl().standIns[value.get()];
                if (!known) known = standIn();
                coding = known;
            }
            if (value && !coding)
                throw InvalidArgument("[KeyedArchiver] " + what +
                                      " cannot be archived: its class is not SecureCoding.");
            writer_->encode(coding, key);
        } else if (source_) {
            if (std::string_view(key) != "dataSource") return;
            *source_ = std::dynamic_pointer_cast<MPS::SecureCoding>(value);
            if (!*source_) *source_ = standIn();
        } else if (copies_ && value) {
            if constexpr (requires {
                              {
                                  value->copy(copies_->device)
                                  } -> std::convertible_to<std::shared_ptr<Interface>>;
                          }) {
                auto& known = copies_->made[value.get()];
                if (!known) {
                    auto copy = value->copy(copies_->device);
                    known = copy ? copy : value;
                }
                value = std::static_pointer_cast<Interface>(known);
            }
        }
    }

private:
    explicit Archive(std::shared_ptr<MPS::SecureCoding>& source) : source_(&source) {}
    void integer(const char* key, int64_t& value, int64_t least, int64_t most, bool hasMaximum);
    void real(const char* key, double& value);
    void string(const char* key, std::string& value);
    void bytes(const char* key, std::vector<std::byte>& value, size_t elementSize);
    void enter(const char* key);
    void leave();
    void describe(const char* key, const std::string& value);

    MPS::KeyedArchiver* writer_ = nullptr;
    MPS::KeyedUnarchiver* reader_ = nullptr;
    std::string* text_ = nullptr;
    SourceCopies* copies_ = nullptr;
    std::shared_ptr<MPS::SecureCoding>* source_ = nullptr;
};

} // namespace mpsvk::mps
