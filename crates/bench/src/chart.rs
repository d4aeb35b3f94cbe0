//! Charts as SVG, written by hand: readable on light and on dark ground.

use std::fmt::Write as _;

use crate::growth::Curve;
use crate::report::{Cell, OURS, Row};

const WIDTH: f64 = 760.0;
/// Colours that are told apart on white as on black, and by people who see no red or green.
const COLOURS: [&str; 6] = ["#0b84d8", "#d9780b", "#8a63d2", "#2a9d6f", "#c2447c", "#808080"];

/// The beginning of a drawing; what is drawn in `currentColor` turns light where the reader's ground is dark.
fn open(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{0}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <style>svg{{color:#1f2328;background:#fff}}@media (prefers-color-scheme:dark){{svg{{color:#e6edf3;background:#0d1117}}}}\
         text{{fill:currentColor}}.ours{{font-weight:bold}}.small{{font-size:11px}}</style>\n\
         <text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{0}</text>\n",
        escaped(title)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Bars for several rows: each program's figure as a part of the dearest one's of its row.
pub(crate) fn bars(title: &str, rows: &[&Row]) -> String {
    const LEFT: f64 = 150.0;
    const FULL: f64 = WIDTH - LEFT - 150.0;
    let lines: usize = rows.iter().map(|row| row.cells.len()).sum();
    let height = 50.0 + lines as f64 * 20.0 + rows.len() as f64 * 34.0;
    let mut svg = open(height, title);
    let mut y = 44.0;
    for row in rows {
        let _ = writeln!(
            svg,
            "<text x=\"16\" y=\"{:.1}\">{}, {}</text>",
            y + 14.0,
            escaped(&row.what),
            escaped(&row.unit)
        );
        y += 22.0;
        let most = row.cells.iter().map(Cell::middle).fold(f64::MIN_POSITIVE, f64::max);
        for cell in &row.cells {
            let (ours, width) = (cell.name == OURS, cell.middle() / most * FULL);
            let (class, colour) = if ours { ("ours", COLOURS[0]) } else { ("", COLOURS[5]) };
            let middle = y + 14.0;
            let _ = writeln!(
                svg,
                "<text class=\"{class}\" x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" rx=\"2\" fill=\"{colour}\"/>\
                 <text class=\"{class}\" x=\"{:.1}\" y=\"{middle:.1}\">{}</text>",
                LEFT - 8.0,
                escaped(&cell.name),
                y + 3.0,
                width.max(1.0),
                LEFT + width.max(1.0) + 6.0,
                figure(cell.middle()),
            );
            y += 20.0;
        }
        y += 12.0;
    }
    svg.push_str("</svg>\n");
    svg
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Curves over one quantity, both axes logarithmic; a dashed line shows what linear growth looks like.
pub(crate) fn curves(title: &str, curves: &[&Curve]) -> String {
    const LEFT: f64 = 70.0;
    const TOP: f64 = 46.0;
    const RIGHT: f64 = 520.0;
    const BOTTOM: f64 = 330.0;
    let mut svg = open(380.0, title);
    let points = || curves.iter().flat_map(|curve| &curve.points).filter(|(x, y)| *x > 0.0 && *y > 0.0);
    let decades = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) =
            values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v.log10()), high.max(v.log10())));
        let low = low.floor();
        (low, high.ceil().max(low + 1.0))
    };
    let (x0, x1) = decades(&mut points().map(|point| point.0));
    let (y0, y1) = decades(&mut points().map(|point| point.1));
    let at = |x: f64, y: f64| {
        (
            LEFT + (x.log10() - x0) / (x1 - x0) * (RIGHT - LEFT),
            BOTTOM - (y.log10() - y0) / (y1 - y0) * (BOTTOM - TOP),
        )
    };
    for decade in x0 as i32..=x1 as i32 {
        let (x, _) = at(10_f64.powi(decade), 10_f64.powf(y0));
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {TOP}V{BOTTOM}\" stroke=\"currentColor\" opacity=\".15\"/>\
             <text class=\"small\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 16.0,
            power(decade)
        );
    }
    for decade in y0 as i32..=y1 as i32 {
        let (_, y) = at(10_f64.powf(x0), 10_f64.powi(decade));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"currentColor\" opacity=\".15\"/>\
             <text class=\"small\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            power(decade)
        );
    }
    let steps = (x1 - x0).min(y1 - y0);
    let (from, to) =
        (at(10_f64.powf(x1 - steps), 10_f64.powf(y1 - steps)), at(10_f64.powf(x1), 10_f64.powf(y1)));
    let _ = writeln!(
        svg,
        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"currentColor\" stroke-dasharray=\"4 4\" opacity=\".5\"/>",
        from.0, from.1, to.0, to.1
    );
    for (index, curve) in curves.iter().enumerate() {
        let colour = COLOURS.get(index % COLOURS.len()).copied().unwrap_or("#808080");
        let clear: Vec<_> =
            curve.points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|&(x, y)| at(x, y)).collect();
        let path: Vec<String> = clear.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join("L")
        );
        for (x, y) in clear {
            let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let y = TOP + 16.0 + index as f64 * 34.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text class=\"small\" x=\"{:.1}\" y=\"{y:.1}\">{}</text><text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            RIGHT + 14.0,
            y - 10.0,
            RIGHT + 32.0,
            escaped(&curve.what),
            RIGHT + 32.0,
            y + 13.0,
            escaped(&curve.unit)
        );
    }
    let over = curves.first().map_or("", |curve| curve.over.as_str());
    let _ = writeln!(
        svg,
        "<text class=\"small\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} (dashed: linear growth)</text>\n</svg>",
        (LEFT + RIGHT) / 2.0,
        BOTTOM + 36.0,
        escaped(over)
    );
    svg
}

/// A power of ten as one reads it.
fn power(decade: i32) -> String {
    match decade {
        -3..=-1 => format!("{}", 10_f64.powi(decade)),
        0..=2 => format!("{}", 10_i64.pow(decade.unsigned_abs())),
        3..=5 => format!("{} k", 10_i64.pow(decade.unsigned_abs() - 3)),
        6..=8 => format!("{} M", 10_i64.pow(decade.unsigned_abs() - 6)),
        _ => format!("1e{decade}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_become_markup_and_every_program_has_a_bar() {
        let mut row = Row::new("a < b", "s", &[]);
        for (name, figure) in [("x & y", 4.0), (OURS, 1.0)] {
            row.cells.push(Cell { name: name.to_owned(), figures: vec![figure] });
        }
        let svg = bars("t", &[&row]);
        assert!(svg.contains("x &amp; y") && svg.contains("a &lt; b"), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 2);
    }

    #[test]
    fn a_curve_lies_within_its_drawing() {
        let points = vec![(0.0, 1.0), (1.0, 0.02), (1e6, 0.0), (1e9, 30.0)];
        let curve = Curve { what: "w".into(), over: "o".into(), unit: "s".into(), noise: 0.0, points };
        let svg = curves("t", &[&curve]);
        let numbers =
            svg.split("cx=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse::<f64>().unwrap());
        let all: Vec<f64> = numbers.collect();
        assert_eq!(all.len(), 2, "{svg}");
        assert!(all.iter().all(|x| (70.0..=520.0).contains(x)), "{all:?}");
    }
}
