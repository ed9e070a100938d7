"""The map of the course with what is kept about it."""

from __future__ import annotations

import ipywidgets as widgets

from labkit.grading.course_progress import LessonProgress, course_progress, progress_text
from labkit.views.course_map import Station, course_map_figure, course_map_sentence
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure


class CourseMap(widgets.VBox):
    """All lessons with quiz, flashcards and exercises, and a button that looks again.

    Attributes
    ----------
    figure : FigureWidget
    sentence : ipywidgets.HTML
    button : ipywidgets.Button
    lessons : tuple of LessonProgress
        What is shown.
    """

    def __init__(self):
        self.lessons = course_progress()
        stations = [_station(lesson) for lesson in self.lessons]
        self.figure = FigureWidget(course_map_figure(stations))
        self.figure._config = {"displayModeBar": False, "responsive": True}
        self.sentence = widgets.HTML(course_map_sentence(stations))
        self.button = widgets.Button(description="Look again", icon="refresh", tooltip="Read what is kept once more")
        self.button.on_click(lambda button: self.refresh())
        super().__init__([self.figure, widgets.HBox([self.button, self.sentence])])

    def refresh(self) -> None:
        """Show what is kept now: other notebooks may have been at work."""
        self.lessons = course_progress()
        stations = [_station(lesson) for lesson in self.lessons]
        replace_figure(self.figure, course_map_figure(stations))
        self.sentence.value = course_map_sentence(stations)

    def text(self) -> str:
        """The map as lines of text."""
        return progress_text(self.lessons)

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, **kwargs):
        found = super()._repr_mimebundle_(**kwargs)
        found["text/plain"] = self.text()
        return found


def course_map() -> CourseMap:
    """The course as a map, with how far you are: quizzes, flashcards, exercises."""
    return CourseMap()


def _station(one: LessonProgress) -> Station:
    lesson = one.lesson
    return Station(
        lesson.number, lesson.title, lesson.part, lesson.exists, one.visited, (one.quiz_points, one.max_quiz_points),
        (one.num_cards_known, one.num_cards), (one.num_exercises_passed, one.num_exercises),
    )
