//! The few shapes of SVG that a bar chart needs.

use std::fmt::Write;

const FONT: &str = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";

/// Where a text stands in relation to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Its height in pixels.
    pub size: u32,
    /// Bold.
    pub bold: bool,
    /// Its colour.
    pub color: &'static str,
    /// Its place.
    pub anchor: Anchor,
}

/// A picture being drawn, on a white ground: it is read on pages of any colour.
pub struct Svg {
    width: f64,
    height: f64,
    shapes: String,
}

impl Svg {
    /// Nothing yet, in pixels.
    pub fn new(width: f64, height: f64) -> Self {
        let mut svg = Self { width, height, shapes: String::new() };
        svg.rectangle([0.0, 0.0], [width, height], "#ffffff");
        svg
    }

    /// A filled rectangle from its upper left corner.
    pub fn rectangle(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2], fill: &str) {
        self.shape(&format!(r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#));
    }

    /// A straight line.
    pub fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], color: &str, width: f64) {
        self.shape(&format!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{color}" stroke-width="{width}"/>"#
        ));
    }

    /// A text; `y` is its base line.
    pub fn text(&mut self, [x, y]: [f64; 2], text: &str, style: Style) {
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
        };
        let weight = if style.bold { r#" font-weight="bold""# } else { "" };
        self.shape(&format!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{}" fill="{}" text-anchor="{anchor}"{weight}>{}</text>"#,
            style.size,
            style.color,
            escaped(text)
        ));
    }

    /// The whole document. `description` is for those who do not see it.
    pub fn finish(self, description: &str) -> String {
        let Self { width, height, shapes } = self;
        let description = escaped(description);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="{FONT}" role="img" aria-label="{description}">
{shapes}</svg>
"#
        )
    }

    fn shape(&mut self, shape: &str) {
        writeln!(self.shapes, "{shape}").expect("a string takes everything");
    }
}

fn escaped(text: &str) -> String {
    let escape = |character| match character {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_end_its_element_or_attribute() {
        assert_eq!(escaped(r#"<a> & "b" ≥ 'c'"#), "&lt;a&gt; &amp; &quot;b&quot; ≥ 'c'");
        let mut svg = Svg::new(10.0, 20.0);
        svg.text([1.0, 2.0], "</text>", Style { size: 9, bold: true, color: "#000", anchor: Anchor::Middle });
        let svg = svg.finish(r#"a "picture""#);
        assert!(svg.contains(r#"text-anchor="middle" font-weight="bold">&lt;/text&gt;</text>"#), "{svg}");
        assert!(svg.contains(r#"aria-label="a &quot;picture&quot;""#), "{svg}");
    }

    #[test]
    fn background_is_white_to_the_edges() {
        let svg = Svg::new(10.0, 20.0).finish("");
        assert!(svg.contains(r##"<rect x="0.0" y="0.0" width="10.0" height="20.0" fill="#ffffff"/>"##), "{svg}");
    }
}
