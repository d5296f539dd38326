//! Report of the attacks as a table or as JSON.

use std::fmt::Write;

use anyhow::Result;
use serde_json::{Value, json};

use crate::bounds::Bounds;
use crate::measure::Costs;

const KIB: u64 = 1024;

/// Outcome of an attack.
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) bounds: Bounds,
    /// Costs, or the error of the attack.
    pub(crate) measured: Result<Costs, String>,
}

/// A cost and its bound, in the same unit.
struct Figure {
    name: &'static str,
    unit: &'static str,
    cost: f64,
    bound: f64,
}

impl Outcome {
    /// Checks whether every cost is within its bound.
    pub(crate) fn is_within(&self) -> bool {
        let figures = self.figures();
        self.measured.is_ok() && figures.iter().all(|figure| figure.cost <= figure.bound)
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for humans")]
    fn figures(&self) -> Vec<Figure> {
        let Ok(costs) = &self.measured else {
            return Vec::new();
        };
        let bounds = self.bounds;
        let kib = |name, cost: u64, bound: Option<u64>| {
            bound.map(|bound| Figure {
                name,
                unit: "KiB",
                cost: (cost / KIB) as f64,
                bound: (bound / KIB) as f64,
            })
        };
        let descriptors = bounds.descriptors.map(|bound| Figure {
            name: "descriptors",
            unit: "",
            cost: costs.descriptors as f64,
            bound: bound as f64,
        });
        let others_wait = bounds.others_wait.map(|bound| Figure {
            name: "others wait",
            unit: "s",
            cost: costs.others_wait.as_secs_f64(),
            bound: bound.as_secs_f64(),
        });
        let time_ratio = bounds.time_ratio.map(|bound| Figure {
            name: "time",
            unit: "times the baseline",
            cost: costs.time_ratio,
            bound,
        });
        let figures = [
            kib("memory", costs.memory, bounds.memory),
            descriptors,
            kib("disk", costs.disk, bounds.disk),
            kib("disk left", costs.disk_left, bounds.disk_left),
            kib("read", costs.traffic.read, bounds.read),
            kib("written", costs.traffic.written, bounds.written),
            others_wait,
            time_ratio,
        ];
        figures.into_iter().flatten().collect()
    }

    fn text(&self) -> String {
        let verdict = if self.is_within() { "ok" } else { "FAILED" };
        let mut text = format!("{verdict:<7} {}\n", self.name);
        if let Err(error) = &self.measured {
            let _ = writeln!(text, "        {error}");
        }
        for Figure {
            name,
            unit,
            cost,
            bound,
        } in self.figures()
        {
            let cost = (cost * 1000.0).round() / 1000.0;
            let _ = writeln!(text, "        {name:<12} {cost:>10} of {bound} {unit}");
        }
        text
    }

    fn json(&self) -> Value {
        let figure = |figure: Figure| {
            let value = json!({"cost": figure.cost, "bound": figure.bound, "unit": figure.unit});
            (figure.name.to_owned(), value)
        };
        let figures: serde_json::Map<_, _> = self.figures().into_iter().map(figure).collect();
        let error = self.measured.as_ref().err();
        json!({"name": self.name, "ok": self.is_within(), "error": error, "figures": figures})
    }
}

/// Renders all outcomes and, as text, the number of those within their bounds.
///
/// # Errors
/// When JSON cannot be written.
pub(crate) fn render(outcomes: &[Outcome], json: bool) -> Result<String> {
    if json {
        let all: Vec<Value> = outcomes.iter().map(Outcome::json).collect();
        return Ok(serde_json::to_string_pretty(&all)? + "\n");
    }
    let text: String = outcomes.iter().map(Outcome::text).collect();
    let within = outcomes
        .iter()
        .filter(|outcome| outcome.is_within())
        .count();
    let above = outcomes.len() - within;
    Ok(format!(
        "{text}{within} within their bounds, {above} above\n"
    ))
}
