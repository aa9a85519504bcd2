/**
 * The page: files go in at the left, the service is at the right.
 */
import { DeadLetters } from "./DeadLetters.js"
import { Header } from "./Header.js"
import { ImportList } from "./ImportList.js"
import { LastShutdown } from "./LastShutdown.js"
import { QueuePanel } from "./QueuePanel.js"
import { SchedulePanel } from "./SchedulePanel.js"
import { ServicePanel } from "./ServicePanel.js"
import { UploadPanel } from "./UploadPanel.js"
import { useImports } from "./useImports.js"
import { isStopping, useService } from "./useService.js"

export const App = () => {
  const connection = useService()
  const imports = useImports(connection.returns)
  const paused = isStopping(connection)
  return (
    <>
      <Header connection={connection} />
      <main>
        <div class="work">
          <UploadPanel paused={paused} onImported={imports.refresh} />
          <ImportList imports={imports} paused={paused} />
          <DeadLetters imports={imports} />
        </div>
        <aside aria-label="The service">
          <ServicePanel connection={connection} />
          <LastShutdown returns={connection.returns} />
          <QueuePanel imports={imports} returns={connection.returns} stopping={paused} />
          <SchedulePanel returns={connection.returns} stopping={paused} />
        </aside>
      </main>
    </>
  )
}
