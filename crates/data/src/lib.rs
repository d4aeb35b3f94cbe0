//! The data-channel broker: offers, dials, ports, proof of ownership, and the pump.
