// What torch's build without CUDA lacks for a backward pass over fake CUDA tensors: a guard of the
// device, a context that is never there, and the name of the accelerator. Nothing is ever computed.
// Built and preloaded by simulated_card.py.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/FakeGuardImpl.h>

namespace c10::impl {
C10_REGISTER_GUARD_IMPL(CUDA, FakeGuardImpl<DeviceType::CUDA>)
}

namespace at {
struct CUDAHooks : CUDAHooksInterface {
  CUDAHooks(CUDAHooksArgs) {}
  bool hasPrimaryContext(DeviceIndex) const override {
    return false;
  }
};
REGISTER_CUDA_HOOKS(CUDAHooks)

namespace accelerator {
// takes the place of torch's own, which knows no accelerator in this build
__attribute__((visibility("default"))) std::optional<c10::DeviceType> getAccelerator(bool) {
  return c10::kCUDA;
}
} // namespace accelerator
} // namespace at
