//! The world map as SVG: land, the countries that are shaded, and a mark for each region. Marks
//! that are close together are drawn again, enlarged, in a box of their own. It never stands alone:
//! each page with a map has the same as a table.
//!
//! The files are described in `data/README.md`.

use std::{collections::HashMap, f64::consts::PI, sync::OnceLock};

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use crate::{ui::href::Href, words::Words};

/// What a mark looks like: never colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Disc,
    /// A ring.
    Ring,
    /// A dashed ring.
    Dashed,
    /// A triangle.
    Triangle,
    /// A diamond.
    Diamond,
    /// A cross.
    Cross,
}

/// A region on the map.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Beside it.
    pub label: String,
    /// All of it in words, for whoever points at it or cannot see it.
    pub title: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// What it looks like.
    pub shape: Shape,
    /// `good`, `warn`, `bad` or nothing.
    pub tone: &'static str,
    /// A second ring around it.
    pub ringed: bool,
    /// Where it leads.
    pub href: Option<Href>,
    /// What is written after the label, with the name under which a script keeps it up to date.
    pub beside: Option<(String, Option<String>)>,
}

impl Mark {
    /// Letters of the label and of what is written after it.
    fn letters(&self) -> usize {
        let beside = self
            .beside
            .as_ref()
            .map_or(0, |(text, _)| 1 + text.chars().count());
        self.label.chars().count() + beside
    }
}

/// Part of the map that is shown: without the Antarctic.
const WHOLE: Frame = Frame {
    x: 20.0,
    y: 4.0,
    width: 960.0,
    height: 430.0,
};
/// The part of the map that is drawn again where marks are close together.
const BOX: (f64, f64) = (136.0, 104.0);
/// Marks in such a part before it is drawn again.
const CROWD: usize = 3;
/// Marks nearer than this are moved apart, in units of the whole map.
const APART: f64 = 11.0;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Frame {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Frame {
    fn text(&self) -> String {
        format!("{} {} {} {}", self.x, self.y, self.width, self.height)
    }

    fn meets(&self, other: &Self) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }

    fn holds(&self, (x, y): (f64, f64)) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }
}

struct Country {
    name: String,
    /// For a country that is too small for an outline.
    middle: (f64, f64),
    outline: String,
}

impl Country {
    fn read(value: &Value) -> Self {
        let text = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let middle = |at: usize| value.get("c").and_then(|c| c.get(at)?.as_f64());
        Self {
            name: text("name").to_owned(),
            middle: (middle(0).unwrap_or_default(), middle(1).unwrap_or_default()),
            outline: text("d").to_owned(),
        }
    }
}

fn countries() -> &'static HashMap<String, Country> {
    static ALL: OnceLock<HashMap<String, Country>> = OnceLock::new();
    ALL.get_or_init(|| {
        let text = include_str!("../../data/world-countries.json");
        let read: Value = serde_json::from_str(text).unwrap_or_default();
        let all = read.get("countries").and_then(Value::as_object);
        let all = all.into_iter().flatten();
        all.map(|(code, value)| (code.clone(), Country::read(value)))
            .collect()
    })
}

/// The outline of one of the parts of the map, by its id.
fn outline(id: &str) -> &'static str {
    let file: &'static str = include_str!("../../data/world-land.svg");
    let begins = format!("<path id=\"{id}\" d=\"");
    let from = file.split_once(begins.as_str()).map(|(_, rest)| rest);
    let found = from.and_then(|rest| rest.split_once('"'));
    found.map_or("", |(outline, _)| outline)
}

/// The name of a country by its code, in the language of the request; the code itself where that
/// is not known.
pub fn country(code: &str) -> &str {
    let lang = Words::here().language().lang;
    let own = names().get(lang).and_then(|names| names.get(code));
    match own {
        Some(name) => name,
        None => countries().get(code).map_or(code, |country| &country.name),
    }
}

/// For each language but English, the names of countries by their codes.
fn names() -> &'static HashMap<&'static str, HashMap<&'static str, &'static str>> {
    static ALL: OnceLock<HashMap<&str, HashMap<&str, &str>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut lines = include_str!("../../data/country-names.tsv").lines();
        let languages: Vec<&str> = lines
            .next()
            .unwrap_or_default()
            .split('\t')
            .skip(1)
            .collect();
        let mut all: HashMap<&str, HashMap<&str, &str>> = HashMap::new();
        for line in lines {
            let mut fields = line.split('\t');
            let code = fields.next().unwrap_or_default();
            for (lang, name) in languages.iter().zip(fields) {
                all.entry(lang).or_default().insert(code, name);
            }
        }
        all
    })
}

/// All codes of countries, for groups of them.
pub fn codes() -> impl Iterator<Item = &'static str> {
    countries().keys().map(String::as_str)
}

/// Natural Earth's projection (Patterson; the polynomials of Šavrič and others, 2011).
pub fn project(latitude: f64, longitude: f64) -> (f64, f64) {
    let (p, l) = (latitude * PI / 180.0, longitude * PI / 180.0);
    let x = 0.8707 - 0.131_979 * p.powi(2) - 0.013_791 * p.powi(4) + 0.003_971 * p.powi(10)
        - 0.001_529 * p.powi(12);
    let y = 1.007_226 + 0.015_085 * p.powi(2) - 0.044_475 * p.powi(6) + 0.028_874 * p.powi(8)
        - 0.005_916 * p.powi(10);
    (500.0 + 175.0 * l * x, 250.0 - 175.0 * p * y)
}

/// A mark and where it is drawn.
struct Placed<'m> {
    mark: &'m Mark,
    at: (f64, f64),
}

/// Moves marks apart that would cover each other, by as little as that takes.
fn apart(marks: &mut [Placed<'_>], distance: f64) {
    for _ in 0..60 {
        let mut moved = false;
        for one in 0..marks.len() {
            for other in one + 1..marks.len() {
                let (a, b) = (marks[one].at, marks[other].at);
                let (dx, dy) = (b.0 - a.0, b.1 - a.1);
                let length = dx.hypot(dy);
                if length >= distance - 0.01 {
                    continue;
                }
                // Two at one place go to different sides, always the same ones.
                let angle = match length < 0.01 {
                    true => other as f64 * 2.4,
                    false => dy.atan2(dx),
                };
                let by = (distance - length) / 2.0;
                let (x, y) = (by * angle.cos(), by * angle.sin());
                marks[one].at = (a.0 - x, a.1 - y);
                marks[other].at = (b.0 + x, b.1 + y);
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
}

/// The part of the map with the most marks, if they are many and not all there are.
fn crowded(points: &[(f64, f64)]) -> Option<Frame> {
    let frame = |at: (f64, f64)| Frame {
        x: (at.0 - BOX.0 / 2.0).clamp(WHOLE.x, WHOLE.x + WHOLE.width - BOX.0),
        y: (at.1 - BOX.1 / 2.0).clamp(WHOLE.y, WHOLE.y + WHOLE.height - BOX.1),
        width: BOX.0,
        height: BOX.1,
    };
    let inside = |frame: &Frame| -> Vec<(f64, f64)> {
        let held = points.iter().filter(|point| frame.holds(**point));
        held.copied().collect()
    };
    let (held, _) = points
        .iter()
        .map(|point| {
            let held = inside(&frame(*point));
            let count = held.len();
            (held, count)
        })
        .max_by_key(|(_, count)| *count)?;
    if held.len() < CROWD {
        return None;
    }
    // The middle of what is there.
    let count = held.len() as f64;
    let sum = held.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
    let middle = frame((sum.0 / count, sum.1 / count));
    (inside(&middle).len() >= held.len()).then_some(middle)
}

/// Where the label of a mark is, beside or below it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Label {
    at: (f64, f64),
    anchor: &'static str,
}

/// Places labels so that none covers another one, a mark or the edge, as far as there is room.
fn labels(marks: &[Placed<'_>], frame: &Frame, (scale, size): (f64, f64)) -> Vec<Label> {
    // Of a semi-bold letter.
    let (letter, height) = (0.642 * size, size);
    let mut taken: Vec<Frame> = marks
        .iter()
        .map(|one| Frame {
            x: one.at.0 - 4.0 * scale,
            y: one.at.1 - 4.0 * scale,
            width: 8.0 * scale,
            height: 8.0 * scale,
        })
        .collect();
    let mut all = Vec::with_capacity(marks.len());
    for one in marks {
        let width = one.mark.letters() as f64 * letter;
        let (x, y) = one.at;
        let beside = 8.5 * scale;
        let tries = [
            (x + beside, x + beside, y, "start"),
            (x - beside, x - beside - width, y, "end"),
            (x + beside * 0.6, x + beside * 0.6, y + height, "start"),
            (
                x - beside * 0.6,
                x - beside * 0.6 - width,
                y + height,
                "end",
            ),
            (x + beside * 0.6, x + beside * 0.6, y - height, "start"),
            (
                x - beside * 0.6,
                x - beside * 0.6 - width,
                y - height,
                "end",
            ),
        ];
        let room = |left: f64, y: f64| Frame {
            x: left,
            y: y - height / 2.0,
            width,
            height,
        };
        let free = |left: f64, y: f64| {
            let wanted = room(left, y);
            let inside = wanted.x >= frame.x && wanted.x + width <= frame.x + frame.width;
            inside && !taken.iter().any(|other| other.meets(&wanted))
        };
        let found = tries.iter().find(|(_, left, y, _)| free(*left, *y));
        let (at, left, y, anchor) = *found.unwrap_or(&tries[0]);
        taken.push(room(left, y));
        all.push(Label {
            at: (at, y + 0.36 * size),
            anchor,
        });
    }
    all
}

/// The map. `shaded` are codes of countries; `caption` says in words what it shows.
pub fn world(caption: &str, shaded: &[&str], marks: &[Mark]) -> Markup {
    let points: Vec<_> = marks
        .iter()
        .map(|mark| project(mark.latitude, mark.longitude))
        .collect();
    let placed = |distance: f64| {
        let placed = marks.iter().zip(&points);
        let mut placed: Vec<_> = placed.map(|(mark, at)| Placed { mark, at: *at }).collect();
        apart(&mut placed, distance);
        placed
    };
    let enlarged = crowded(&points);
    let all = placed(APART);
    let spots: Vec<_> = all.iter().map(|one| one.at).collect();
    let (near, far): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|one| enlarged.is_some_and(|frame| frame.holds(one.at)));
    html! {
        figure.world {
            div.maps {
                svg viewBox=(WHOLE.text()) role="group" aria-label=(caption) {
                    (ground(shaded))
                    @if let Some(frame) = enlarged {
                        rect.frame-box x=(frame.x) y=(frame.y) width=(frame.width)
                            height=(frame.height) rx="3" {}
                    }
                    @for one in &near { (drawn(one, 1.0, room(one, &spots), None)) }
                    @for (one, label) in far.iter().zip(labels(&far, &WHOLE, (1.0, LETTERS))) {
                        (drawn(one, 1.0, room(one, &spots), Some(label)))
                    }
                }
                @if let Some(frame) = enlarged { (again(caption, &frame, placed(APART * NEARER))) }
            }
            figcaption { (caption) }
        }
    }
}

/// How much smaller marks and letters are in the part that is drawn again, in its own units.
const NEARER: f64 = 0.46;
/// The size of letters on the whole map and in that part, in units of the whole map: as in the
/// style sheet.
const LETTERS: f64 = 12.0;
const LETTERS_NEARER: f64 = 4.4;
/// Units around a mark that are touched as if it was, and what is there to touch on small screens,
/// if no other mark is nearer than that.
const TOUCHED: (f64, f64) = (9.0, 14.0);
const WIDE: (f64, f64) = (24.0, 40.0);

/// Half the way to the nearest other mark.
fn room(one: &Placed<'_>, all: &[(f64, f64)]) -> f64 {
    let away = all.iter().filter(|other| **other != one.at);
    let away = away.map(|other| (other.0 - one.at.0).hypot(other.1 - one.at.1) / 2.0);
    away.fold(f64::INFINITY, f64::min)
}

/// The part of the map where marks are close together, enlarged.
fn again(caption: &str, frame: &Frame, mut marks: Vec<Placed<'_>>) -> Markup {
    marks.retain(|one| frame.holds(one.at));
    html! {
        svg.near viewBox=(frame.text()) role="group" aria-label={ (caption) " (+)" } {
            use href="#world-ground" {}
            @let labels = labels(&marks, frame, (NEARER, LETTERS_NEARER));
            @for (one, label) in marks.iter().zip(labels) {
                (drawn(one, NEARER, 0.0, Some(label)))
            }
        }
    }
}

/// Sea, land, shading and borders, once in the page.
fn ground(shaded: &[&str]) -> Markup {
    let found = shaded.iter().filter_map(|code| countries().get(*code));
    let found: Vec<&Country> = found.collect();
    html! {
        g id="world-ground" {
            path.map-sea d=(outline("sea")) {}
            path.map-land d=(outline("land")) {}
            @for country in &found {
                @if country.outline.is_empty() {
                    circle.map-law cx=(country.middle.0) cy=(country.middle.1) r="2" {}
                } @else {
                    path.map-law d=(country.outline) {}
                }
            }
            path.map-borders d=(outline("borders")) {}
        }
    }
}

fn drawn(one: &Placed<'_>, scale: f64, room: f64, label: Option<Label>) -> Markup {
    let (x, y) = one.at;
    let touched = room.clamp(TOUCHED.0, TOUCHED.1) * scale;
    let class = match room {
        room if room >= WIDE.1 => "touch wide-3",
        room if room >= WIDE.0 => "touch wide-2",
        _ => "touch",
    };
    let number = |value: f64| PreEscaped(format!("{value:.2}"));
    let (r, mark) = (5.0 * scale, one.mark);
    let body = html! {
        g class={ "mark " (mark.tone) } {
            title { (mark.title) }
            circle class=(class) cx=(number(x)) cy=(number(y)) r=(number(touched)) {}
            @if mark.ringed {
                circle.second cx=(number(x)) cy=(number(y)) r=(number(r * 1.6)) {}
            }
            (shape(mark.shape, (x, y), r))
            @if let Some(label) = label {
                text x=(number(label.at.0)) y=(number(label.at.1)) text-anchor=(label.anchor) {
                    (mark.label)
                    @if let Some((text, live)) = &mark.beside {
                        " " tspan.beside data-text=[live.as_deref()] { (text) }
                    }
                }
            }
        }
    };
    match &mark.href {
        Some(href) => html! { a href=(href) aria-label=(mark.title) { (body) } },
        None => body,
    }
}

fn shape(shape: Shape, (x, y): (f64, f64), r: f64) -> Markup {
    let n = |value: f64| format!("{value:.2}");
    let path = |points: &[(f64, f64)]| {
        let points = points
            .iter()
            .map(|(dx, dy)| format!("{},{}", n(x + dx * r), n(y + dy * r)));
        points.collect::<Vec<_>>().join(" ")
    };
    match shape {
        Shape::Disc => html! { circle.shape cx=(n(x)) cy=(n(y)) r=(n(r)) {} },
        Shape::Ring => html! { circle.shape.hollow cx=(n(x)) cy=(n(y)) r=(n(r)) {} },
        Shape::Dashed => html! { circle.shape.hollow.dashed cx=(n(x)) cy=(n(y)) r=(n(r)) {} },
        Shape::Triangle => html! {
            polygon.shape points=(path(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)])) {}
        },
        Shape::Diamond => html! {
            polygon.shape points=(path(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)])) {}
        },
        Shape::Cross => html! {
            path.shape.hollow d={
                "M" (path(&[(-1.0, -1.0), (1.0, 1.0)])) "M" (path(&[(-1.0, 1.0), (1.0, -1.0)]))
            } {}
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(label: &str, latitude: f64, longitude: f64) -> Mark {
        Mark {
            label: label.to_owned(),
            title: label.to_owned(),
            latitude,
            longitude,
            shape: Shape::Disc,
            tone: "good",
            ringed: false,
            href: None,
            beside: None,
        }
    }

    #[test]
    fn cities_are_where_the_map_has_them() {
        for (latitude, longitude, x, y) in [
            (30.27, 120.16, 805.64, 156.56),
            (50.11, 8.68, 520.21, 95.85),
            (25.20, 55.27, 642.59, 172.27),
            (-33.87, 151.21, 880.06, 354.59),
            (37.35, -121.95, 197.49, 134.66),
            (-23.55, -46.63, 379.22, 322.62),
        ] {
            let at = project(latitude, longitude);
            assert!((at.0 - x).abs() < 0.01 && (at.1 - y).abs() < 0.01, "{at:?}");
        }
    }

    #[test]
    fn the_files_have_what_is_drawn() {
        for id in ["sea", "land", "borders"] {
            assert!(outline(id).starts_with('M'), "{id}");
        }
        assert_eq!(country("DE"), "Germany");
        assert_eq!(country("XX"), "XX");
        assert_eq!(codes().count(), 250);
    }

    #[test]
    fn marks_at_one_place_can_be_told_apart() {
        let marks = [
            mark("a", 22.54, 114.06),
            mark("b", 22.32, 114.17),
            mark("c", 22.32, 114.17),
        ];
        let mut placed: Vec<_> = marks
            .iter()
            .map(|mark| Placed {
                mark,
                at: project(mark.latitude, mark.longitude),
            })
            .collect();
        apart(&mut placed, APART);
        for one in 0..3 {
            for other in one + 1..3 {
                let (a, b) = (placed[one].at, placed[other].at);
                let distance = (a.0 - b.0).hypot(a.1 - b.1);
                assert!(distance > APART * 0.9, "{distance}");
            }
        }
    }

    #[test]
    fn a_crowd_is_drawn_again_and_two_are_not() {
        let few = [
            project(50.0, 8.0),
            project(35.0, 139.0),
            project(31.0, 121.0),
        ];
        assert_eq!(crowded(&few), None);
        let many: Vec<_> = [(31.2, 121.5), (30.3, 120.2), (36.1, 120.4), (50.0, 8.0)]
            .iter()
            .map(|(latitude, longitude)| project(*latitude, *longitude))
            .collect();
        let frame = crowded(&many).unwrap();
        assert!(many[..3].iter().all(|point| frame.holds(*point)));
        assert!(!frame.holds(many[3]));
        assert_eq!(crowded(&[]), None);
    }

    #[test]
    fn what_is_touched_of_a_mark_is_none_of_another() {
        let marks = [
            mark("a", 50.1, 8.7),
            mark("b", 52.4, 4.9),
            mark("c", -33.9, 151.2),
        ];
        let page = world("c", &[], &marks).into_string();
        assert_eq!(page.matches("touch wide-3").count(), 1);
        assert_eq!(page.matches("class=\"touch\"").count(), 2);
    }

    #[test]
    fn labels_cover_nothing_and_stay_inside() {
        let marks: Vec<Mark> = [
            ("cn-zhangjiakou", 40.8, 114.9),
            ("cn-beijing", 39.9, 116.4),
            ("cn-shanghai", 31.2, 121.5),
            ("cn-hangzhou", 30.3, 120.2),
            ("ap-northeast-1", 35.7, 139.7),
        ]
        .iter()
        .map(|(name, latitude, longitude)| mark(name, *latitude, *longitude))
        .collect();
        let mut placed: Vec<_> = marks
            .iter()
            .map(|mark| Placed {
                mark,
                at: project(mark.latitude, mark.longitude),
            })
            .collect();
        let points: Vec<_> = placed.iter().map(|one| one.at).collect();
        let frame = crowded(&points).unwrap();
        apart(&mut placed, APART * NEARER);
        let found = labels(&placed, &frame, (NEARER, LETTERS_NEARER));
        // The easternmost has no room on its right.
        assert_eq!(found[4].anchor, "end");
        assert_ne!(
            (found[0].anchor, found[0].at.1),
            (found[1].anchor, found[1].at.1)
        );
    }

    #[test]
    fn what_a_region_calls_itself_is_text() {
        let mut evil = mark("</text><script>alert(1)</script>", 0.0, 0.0);
        evil.title = "\"><img src=x onerror=alert(1)>".to_owned();
        evil.href = Some(Href::to("/regions"));
        let page = world("c", &["DE", "nowhere"], &[evil]).into_string();
        assert!(!page.contains("<script") && !page.contains("<img"));
    }
}
