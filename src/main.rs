//! The `slipway` command.
fn main() -> anyhow::Result<()> { Ok(()) }
