//! `schema`: the shapes of what is read and written, as JSON Schema.

use super::Shell;
use super::args::{SchemaArgs, Shape};
use super::list::ListedSim;
use super::out::Out;
use crate::explore::certify::CertifyReport;
use crate::explore::comparison::ComparisonReport;
use crate::explore::corpus::case_schema;
use crate::explore::ledger::LedgerReport;
use crate::explore::shrink::ShrinkReport;
use crate::explore::sweep::SweepReport;
use crate::report::exhaust::ExhaustReport;
use crate::report::figure::FigureReport;
use crate::report::json::RunReport;
use crate::report::judgement::Exit;
use crate::report::records::ShowLine;
use crate::script::schema::{SystemSchema, script_schema};
use crate::sim::System;

pub(super) fn schema(shell: &Shell, args: &SchemaArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let of_system = |system: &&'static dyn System| SystemSchema {
        name: system.name(),
        section: system.section_schema(),
        step: system.step_schema(),
    };
    let schema = match args.of {
        Shape::Script => script_schema(&shell.systems.iter().map(of_system).collect::<Vec<_>>()),
        Shape::Case => case_schema().to_value(),
        Shape::Bugs => schemars::schema_for!(LedgerReport).to_value(),
        Shape::List => schemars::schema_for!(Vec<ListedSim>).to_value(),
        Shape::Result => schemars::schema_for!(RunReport).to_value(),
        Shape::Certify => schemars::schema_for!(CertifyReport).to_value(),
        Shape::Shrink => schemars::schema_for!(ShrinkReport).to_value(),
        Shape::Sweep => schemars::schema_for!(SweepReport).to_value(),
        Shape::Figure => schemars::schema_for!(FigureReport).to_value(),
        Shape::Exhaust => schemars::schema_for!(ExhaustReport).to_value(),
        Shape::Comparison => schemars::schema_for!(ComparisonReport).to_value(),
        Shape::Records => schemars::schema_for!(ShowLine).to_value(),
    };
    out.line(&serde_json::to_string_pretty(&schema)?)?;
    out.flush()?;
    Ok(Exit::Expected)
}
