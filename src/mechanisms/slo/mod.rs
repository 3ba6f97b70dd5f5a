//! slo
