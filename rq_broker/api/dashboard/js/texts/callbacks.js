// Texts of the callbacks: English, 繁體中文.
export const CALLBACKS = {
  "calls.destination": ["Destination", "目的地"], "calls.state": ["State", "狀態"], "calls.sending": ["Sending", "傳送中"], "calls.parked": ["Held up", "被擋住"], "calls.next": ["Next try", "下次嘗試"],
  "calls.title": ["Destinations", "目的地"], "calls.all": ["All", "全部"], "calls.trouble": ["Trouble", "有問題"], "calls.answers": ["Answers", "有回應"],
  "calls.closed": ["Answers", "有回應"], "calls.open": ["Not answering", "沒有回應"], "calls.half": ["Trying one", "嘗試一次"], "calls.asked": ["Asked to wait", "要求等待"],
  "calls.offer": ["Offers without callback", "沒有回呼的發放"], "calls.in": ["in {span}", "{span}後"], "calls.now": ["now", "現在"], "calls.failures": ["{n} failures in a row", "連續失敗 {n} 次"], "calls.failures.one": ["1 failure in a row", "連續失敗 1 次"], "calls.nobody": ["jobs without owner", "沒有擁有者的工作"],
  "calls.none.title": ["No callback was sent yet", "還沒有送出回呼"], "calls.none": ["The first grant of a job that names a callback calls it; its receiver appears here.", "第一筆有回呼的工作拿到資源時會呼叫，接收端會出現在這裡。"], "calls.nomatch": ["No destination matches.", "沒有符合的目的地。"],
  "calls.outage": ["Most destinations fail at the same moment: look at the outgoing network of the notifiers. Failures are not counted against them meanwhile.", "大部分目的地同時失敗：請檢查通知程序的對外網路。這段期間不計入它們的失敗。"],
  "calls.first": ["The first 1,000: those in trouble, then the latest used.", "前 1,000 個：有問題的在前，其次是最近使用的。"],
  "calls.test": ["Test…", "測試…"], "calls.test.send": ["Send", "送出"], "calls.test.url": ["Address", "網址"], "calls.test.ask": ["Send a test to {destination}?", "向 {destination} 送出測試？"],
  "calls.test.says": ["A notifier sends one signed message of the kind receiver.test, about no job. No job and no breaker changes.", "由通知程序送出一則已簽章的 receiver.test 訊息，與任何工作無關。不會改變工作或斷路器。"],
  "calls.test.late": ["No outcome yet. If no notifier serves this type, none will come; the test then ends by itself within a minute.", "還沒有結果。如果沒有通知程序服務這個類型，就不會有結果；測試會在一分鐘內自行結束。"],
  "calls.reset": ["Reset…", "重設…"], "calls.reset.yes": ["Reset", "重設"], "calls.reset.ask": ["Reset {destination}?", "重設 {destination}？"], "calls.reset.says": ["Its breaker closes, the time it asked for ends, and the callbacks that wait for it ({n}) are sent at once. Do it once it is repaired.", "關閉斷路器、結束它要求的等待，並立即送出 {n} 筆等待中的回呼。請在修復後執行。"], "calls.reset.done": ["{destination} is called again.", "{destination} 已恢復呼叫。"],
  "calls.requeue": ["Requeue its jobs…", "重新排入其工作…"], "calls.more": ["Actions for {destination}", "{destination} 的操作"],
  "gave.title": ["Gave up", "已放棄"], "gave.kept": ["Kept {span}", "保留 {span}"], "gave.kept.ever": ["Kept without end", "永久保留"], "gave.none": ["No job is in error.", "沒有工作處於錯誤狀態。"], "gave.job": ["Job", "工作"], "gave.outcome": ["Last outcome", "最後結果"], "gave.attempts": ["Attempts", "嘗試次數"], "gave.at": ["Gave up", "放棄時間"],
  "gave.requeue": ["Requeue", "重新排入"], "gave.requeue.all": ["Requeue all {n}…", "全部重新排入（{n}）…"], "gave.done": ["{name} is back in the line.", "{name} 已回到隊列。"],
  "gave.ask": ["Put {n} jobs back in line?", "把 {n} 筆工作放回隊列？"], "gave.ask.one": ["Put 1 job back in line?", "把 1 筆工作放回隊列？"], "gave.ask.none": ["No job is in error there.", "那裡沒有錯誤的工作。"], "gave.ask.wait": ["Counting the jobs…", "計算中…"], "gave.says": ["Each waits at its old place, and its receiver is called again with the next grant. Nothing is held for them now.", "每筆回到原順位，下次發放時再次回呼。目前沒有為它們保留資源。"], "gave.more": ["and {n} more", "以及另外 {n} 筆"],
  "gave.yes": ["Put back", "放回"], "gave.result": ["{n} put back in line.", "已放回 {n} 筆。"], "gave.result.refused": ["{n} put back in line, {refused} refused: {why}.", "已放回 {n} 筆，{refused} 筆被拒絕：{why}。"], "gave.next": ["Show more", "顯示更多"],
};
