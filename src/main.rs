//! The program: hands the command line over.

fn main() -> std::process::ExitCode {
    fizzops::cli::main()
}
