// The documents behind the archiver and the unarchiver.
#pragma once

#include <mpsvk/MPS/KeyedArchiver.hpp>

#include <nlohmann/json_fwd.hpp>

#include <deque>
#include <functional>
#include <map>
#include <vector>

namespace mpsvk::MPS {

struct KeyedArchiver::Impl {
    Impl();
    ~Impl();
    /// Values go into the group `key` of the current object until `leave`.
    void enter(std::string_view key);
    void leave();
    nlohmann::json& place(std::string_view key);

    std::unique_ptr<nlohmann::json> root;
    std::deque<nlohmann::json> objects;
    std::map<std::shared_ptr<const SecureCoding>, size_t> known;
    /// What is stored for an object that is not SecureCoding, by its address; made on demand.
    std::map<const void*, std::shared_ptr<SecureCoding>> standIns;
    std::function<std::shared_ptr<SecureCoding>(const void* object)> standInFor;
    std::vector<nlohmann::json*> path; ///< the objects and groups being written, innermost last
};

struct KeyedUnarchiver::Impl {
    Impl();
    ~Impl();
    void enter(const KeyedUnarchiver& coder, std::string_view key);
    void leave();
    std::string className() const;

    std::unique_ptr<nlohmann::json> document;
    MTL::Device device;
    std::vector<const nlohmann::json*> path;
    std::vector<std::shared_ptr<SecureCoding>> objects; ///< made so far, by their number
    std::vector<bool> inProgress;
};

} // namespace mpsvk::MPS
