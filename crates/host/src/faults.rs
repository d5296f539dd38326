//! Planted bugs, which only tests enable.

/// Plants the bug that the environment names around these ports or dependencies of a stage.
#[cfg(feature = "fault-injection")]
pub(crate) use bakehouse_faults::plant_from_environment as plant;

/// Returns the dependencies unchanged.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub(crate) fn plant<T>(deps: T) -> T {
    deps
}
