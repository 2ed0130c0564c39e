//! What does the fuzz target of answers try of the live view?

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::Value;

use super::draw::draw;
use super::model::{Model, Pressed, Seen};

/// The screens of either program, each list at the size of a terminal and at that of a stamp, seen twice.
pub(crate) fn screens(overview: &Value, items: &[Value]) -> Vec<String> {
    let mut screens = Vec::new();
    for of_server in [true, false] {
        let mut model = Model::new(of_server);
        for tab in '1'..='5' {
            model.press(Pressed::Letter(tab));
            for (size, key) in [((80, 24), 's'), ((13, 7), 'r')] {
                model.take(Seen {
                    wanted: model.wanted(),
                    overview: overview.clone(),
                    total: items.len(),
                    items: items.to_vec(),
                });
                model.press(Pressed::Letter(key));
                model.press(Pressed::Down);
                screens.extend(drawn(&mut model, size));
                screens.push(model.detail());
            }
        }
    }
    screens
}

fn drawn(model: &mut Model, (width, height): (u16, u16)) -> Option<String> {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| draw(frame, model, true));
    let cells = terminal.backend().buffer().content.iter();
    Some(cells.map(|cell| cell.symbol()).collect())
}
