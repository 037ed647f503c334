// The whole call: who is worked through by which thread, and in which order.
//
// Included once for each instruction set, inside its namespace.

#include "vectors.h"
#include "products.h"
#include "network.h"
#include "students.h"

// Students with a prediction, longest first.
inline Buffer<Student> working_order(const Task& task) {
  Buffer<Student> students;
  for (int64_t s = 0; s < task.students; ++s) {
    const int64_t steps = task.offsets[s + 1] - task.offsets[s] - 1;
    if (steps > 0) students.push_back({s, task.offsets[s], steps});
  }
  std::stable_sort(students.begin(), students.end(),
                   [](const Student& a, const Student& b) { return a.steps > b.steps; });
  return students;
}

template <typename T>
void clipped_sum(const Task& task) {
  std::fill_n(task.total, task.size, 0.0);
  std::fill_n(static_cast<T*>(task.norms), task.students, T(0));
  const Buffer<Student> students = working_order(task);
  if (students.empty()) return;
  const Network<T> network(task);
  const int64_t count = static_cast<int64_t>(students.size());
  const int64_t groups = (count + kGroup - 1) / kGroup;
  const int64_t threads = std::min(task.threads, groups);
  std::vector<std::unique_ptr<Total<T>>> totals(threads);
  // Which thread gets which group is fixed, so that the same call gives the same sum.
  in_parallel(threads, [&](int64_t thread) {
    totals[thread] = std::make_unique<Total<T>>(network);
    Walk<T> walk(network, students[thread * kGroup].steps, *totals[thread]);
    for (int64_t group = thread; group < groups; group += threads) {
      const int64_t first = group * kGroup;
      walk.run(&students[first], std::min<int64_t>(kGroup, count - first));
    }
  });
  for (int64_t thread = 1; thread < threads; ++thread) totals[0]->add(*totals[thread]);
  totals[0]->add_postponed(network);
  totals[0]->write(network, task.total);
}
