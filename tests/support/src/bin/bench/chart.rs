//! The chart of the cost that each subject adds: a group of bars for each workload, RS256 2048 on the left and the other
//! signatures on the right, each side with its own scale.

use crate::cpu::{Cost, CpuFinding};
use crate::findings::Findings;
use crate::report::microseconds;
use crate::signing::Kind;
use crate::subjects::Subject;
use crate::svg::{Anchor, Style, Svg};

const WIDTH: f64 = 980.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 104.0;
const BOTTOM: f64 = 16.0;
const PANEL_WIDTH: f64 = 460.0;
/// To the right of the scale's end: for the figures of the longest bars.
const ROOM_FOR_FIGURES: f64 = 46.0;
const GROUP_TITLE: f64 = 17.0;
const BAR: f64 = 11.0;
const BAR_PITCH: f64 = 13.0;
const GROUP_GAP: f64 = 11.0;
/// Bars of the portable verification are cut where they exceed so many times the longest of the other subjects.
const LONGEST_WHOLE: f64 = 2.5;
/// Where they are cut then, in the same measure.
const CUT_AT: f64 = 1.5;
const TICKS: f64 = 5.0;

const INK: &str = "#1f2328";
const FAINT_INK: &str = "#59636e";
const GRID: &str = "#dfe3e8";
const GROUND: &str = "#ffffff";

/// The subjects that have bars, and their colours: told apart by those who see no red or green too.
const BARS: [(Subject, &str); 5] = [
    (Subject::Floor, "#a3abb3"),
    (Subject::JwtAuthn, "#0b4f85"),
    (Subject::JwtAuthnCached, "#62b0e8"),
    (Subject::Ours, "#c2410c"),
    (Subject::OursPortable, "#f5a86b"),
];

/// Draws it as SVG.
pub fn draw(findings: &Findings) -> String {
    let is_usual = |finding: &&CpuFinding| finding.workload.kind == Kind::Rs256;
    let (left, right): (Vec<_>, Vec<_>) = findings.cpu.iter().partition(is_usual);
    let groups = left.len().max(right.len()) as f64;
    let group_height = GROUP_TITLE + BARS.len() as f64 * BAR_PITCH + GROUP_GAP;
    let mut svg = Svg::new(WIDTH, TOP + groups * group_height + BOTTOM);
    head(&mut svg, findings);
    for (panel, x) in [(left, MARGIN), (right, WIDTH - MARGIN - PANEL_WIDTH)] {
        let scale = Scale::of(&panel);
        grid(&mut svg, x, &scale, panel.len() as f64 * group_height);
        for (place, finding) in panel.iter().enumerate() {
            group(&mut svg, [x, TOP + place as f64 * group_height], &scale, finding);
        }
    }
    svg.finish("Bar chart: CPU time per request that each filter adds in Envoy; the table beside it has the figures")
}

fn head(svg: &mut Svg, findings: &Findings) {
    let machine = &findings.machine;
    svg.text([MARGIN, 28.0], "CPU time added to a request in Envoy, in µs (less is better)", style(17, true, INK));
    let said = format!(
        "Bar: median of {} rounds, thin line: quartiles. Envoy {}, {}, {}.",
        findings.rounds, machine.envoy, machine.processor, machine.date
    );
    svg.text([MARGIN, 46.0], &said, style(11, false, FAINT_INK));
    for (place, (subject, color)) in BARS.into_iter().enumerate() {
        let x = MARGIN + place as f64 * (WIDTH - 2.0 * MARGIN) / BARS.len() as f64;
        svg.rectangle([x, 58.0], [BAR, BAR], color);
        svg.text([x + BAR + 6.0, 68.0], subject.title(), style(12, false, INK));
    }
}

fn grid(svg: &mut Svg, x: f64, scale: &Scale, height: f64) {
    for tick in scale.ticks() {
        let at = x + scale.length(tick);
        svg.line([at, TOP - 6.0], [at, TOP + height], GRID, 1.0);
        svg.text(
            [at, TOP - 10.0],
            &format!("{tick:.0}"),
            Style { anchor: Anchor::Middle, ..style(10, false, FAINT_INK) },
        );
    }
}

fn group(svg: &mut Svg, [x, y]: [f64; 2], scale: &Scale, finding: &CpuFinding) {
    let title = finding.workload.title();
    // The grid does not run through the words.
    svg.rectangle([x, y + 1.0], [PANEL_WIDTH - ROOM_FOR_FIGURES - 1.0, GROUP_TITLE - 3.0], GROUND);
    svg.text([x, y + GROUP_TITLE - 5.0], &title, style(12, true, INK));
    for (place, (subject, color)) in BARS.into_iter().enumerate() {
        let Some(cost) = finding.costs.iter().find(|cost| cost.subject == subject) else { continue };
        bar(svg, [x, y + GROUP_TITLE + place as f64 * BAR_PITCH], scale, cost, color);
    }
}

fn bar(svg: &mut Svg, [x, y]: [f64; 2], scale: &Scale, cost: &Cost, color: &str) {
    let middle = y + BAR / 2.0;
    let end = x + scale.length(cost.added.median);
    svg.rectangle([x, y], [end - x, BAR], color);
    let mut figure_at = end;
    if cost.added.median > scale.end {
        // A gap with slanted edges near the end: the bar is longer than it is drawn.
        for shift in [0.0, 5.0] {
            svg.line([end - 20.0 + shift, y + BAR + 1.0], [end - 14.0 + shift, y - 1.0], GROUND, 2.0);
        }
    } else {
        let [low, high] = [cost.added.low, cost.added.high].map(|added| x + scale.length(added));
        svg.line([low, middle], [high, middle], INK, 1.0);
        // A line without an end goes on beyond the scale.
        let ends =
            [(low, cost.added.low), (high, cost.added.high)].into_iter().filter(|(_, added)| *added <= scale.end);
        for (at, _) in ends {
            svg.line([at, middle - 3.0], [at, middle + 3.0], INK, 1.0);
        }
        figure_at = figure_at.max(high);
    }
    svg.text([figure_at + 4.0, y + BAR - 2.0], &microseconds(cost.added.median), style(10, false, INK));
}

fn style(size: u32, bold: bool, color: &'static str) -> Style {
    Style { size, bold, color, anchor: Anchor::Start }
}

/// From microseconds to pixels.
struct Scale {
    end: f64,
    step: f64,
}

impl Scale {
    fn of(panel: &[&CpuFinding]) -> Self {
        let longest = |wanted: &dyn Fn(Subject) -> bool| {
            let costs = panel.iter().flat_map(|finding| &finding.costs).filter(|cost| wanted(cost.subject));
            costs.map(|cost| cost.added.high).fold(1.0, f64::max)
        };
        let of_the_others = longest(&|subject| subject != Subject::OursPortable);
        let of_all = longest(&|_| true);
        Self::up_to(if of_all > LONGEST_WHOLE * of_the_others { CUT_AT * of_the_others } else { of_all })
    }

    /// Ends at a round number, with about five steps to it.
    fn up_to(longest: f64) -> Self {
        let magnitude = 10_f64.powf((longest / TICKS).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude);
        let step = steps.into_iter().find(|step| step * TICKS >= longest).unwrap_or(10.0 * magnitude);
        Self { end: (longest / step).ceil() * step, step }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = (self.end / self.step).round() as u32;
        (0..=count).map(|number| f64::from(number) * self.step)
    }

    fn length(&self, microseconds: f64) -> f64 {
        microseconds.clamp(0.0, self.end) / self.end * (PANEL_WIDTH - ROOM_FOR_FIGURES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::tests::finding;
    use crate::findings::tests::findings;
    use crate::workloads::Workload;

    #[test]
    fn scale_ends_at_a_round_number_not_below_the_longest_bar() {
        for (longest, end, step) in [(1.0, 1.0, 0.2), (47.0, 50.0, 10.0), (160.0, 200.0, 50.0), (500.0, 500.0, 100.0)] {
            let scale = Scale::up_to(longest);
            assert!((scale.end - end).abs() < 1e-9 && (scale.step - step).abs() < 1e-9, "{longest}: {}", scale.end);
        }
        assert_eq!(Scale::up_to(160.0).ticks().collect::<Vec<_>>(), [0.0, 50.0, 100.0, 150.0, 200.0]);
    }

    #[test]
    fn bar_much_longer_than_all_others_is_cut_and_labelled_with_its_value() {
        let of_figures = |portable| {
            let finding = finding(Workload::NEW, [5.0, 40.0, 50.0, 30.0, portable]);
            Scale::of(&[&finding]).end
        };
        assert_eq!([of_figures(110.0), of_figures(900.0)], [150.0, 80.0]);
        assert!(draw(&findings()).contains(">+160<"));
    }

    #[test]
    fn negative_value_has_a_bar_of_zero_length() {
        assert_eq!(Scale::up_to(100.0).length(-3.0), 0.0);
    }

    #[test]
    fn every_workload_and_subject_is_named() {
        let svg = draw(&findings());
        assert!(svg.contains(&Workload::NEW.title()));
        assert!(BARS.iter().all(|(subject, _)| svg.contains(subject.title())));
    }
}
