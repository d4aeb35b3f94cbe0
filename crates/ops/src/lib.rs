//! What operators see and steer: events, registry, limits, drain.
