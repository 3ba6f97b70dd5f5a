//! The program and the library from outside. One test binary: linking one is much cheaper, in time and on disk, than one a file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod architecture;
mod auth_commands;
mod breaker_replay;
mod breaker_vectors;
mod cli_bad_input;
mod cli_breaker;
mod cli_cache;
mod cli_flags;
mod cli_journal;
mod cli_ledger;
mod cli_outbox;
mod cli_replay;
mod cli_run;
mod cli_slo;
mod cli_token;
mod common;
mod console_pty;
mod determinism;
mod flagd_alloc;
mod flagd_testbed;
mod gameday_ends;
mod journal_crash;
mod ledger_agreement;
mod ledger_interop;
mod limits;
mod merkle_vectors;
mod recording_kill;
mod slo_month;
mod slo_policy;
mod slo_prometheus;
mod toolkit_chaos;
mod toolkit_run;
